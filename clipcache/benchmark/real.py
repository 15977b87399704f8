"""Features that were made elsewhere, as benchmarks take them."""

from pathlib import Path

from clipcache.import_features import ImportOptions, import_features
from clipcache.vectors.source import VectorOptions, open_vectors


def cache_of(features: Path, folder: Path) -> Path:
    """Return a new cache in `folder` that holds the vectors of a .npz file."""
    cache = folder / f"{features.stem}.zarr"
    import_features(open_vectors(features, VectorOptions()), cache, ImportOptions())
    return cache
