"""Active learning over CLIP embeddings that are computed once and cached."""

__version__ = "0.1.0"
