"""The embedding cache: the only door to zarr."""

from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter

__all__ = ["CacheWriter", "EmbeddingCache"]
