"""A finished cache: what a run works on."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Labels, RowIds
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.stored import StoredEmbeddings
from clipcache.errors import RunError
from clipcache.features import Rows
from clipcache.text import LabelText

IN_MEMORY = 2**30
"""Bytes of embeddings (a million rows of 512) up to which they are kept in memory; larger pools
stay on disk, which costs a few per cent of the time once they are in the system's page cache."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """The first `n` rows of a cache; rows that were appended later take no part."""

    features: Rows = field(repr=False)
    """(n, d) float16, in memory or on disk."""
    labels: Labels = field(repr=False)
    """(n,) int64, -1 unknown. For oracles and evaluation only."""
    pool: RowIds = field(repr=False)
    """Sorted rows that may be labelled."""
    test: RowIds = field(repr=False)
    """Sorted rows held out to measure accuracy."""
    names: tuple[str, ...]
    text: LabelText | None
    fingerprint: str
    """Hash of the encoder's weights and of the n images: names, contents, labels and splits."""

    @classmethod
    def load(cls, cache: EmbeddingCache, n: int | None = None) -> Self:
        """Read what a run needs; embeddings up to `IN_MEMORY` (2 * dim bytes a row) at once.

        Each chunk is checked before any of it is used.

        Raises CacheError where the cache is not finished or has no class names, CacheDamagedError
        where its bytes are not what was written, RunError where it has fewer than `n` rows.
        """
        n = cache.n if n is None else n
        if n > cache.n:
            raise RunError(
                f"the run began with {n} images, but {cache.path} has {cache.n}; "
                "is it another cache?"
            )
        pool, test = cache.rows("pool"), cache.rows("test")
        listing = cache.listing()
        stays = 2 * n * cache.dim > IN_MEMORY
        features = StoredEmbeddings(cache, n) if stays else cache.embeddings()[:n]
        return cls(
            features=features,
            labels=listing["label"][:n].astype(np.int64),
            pool=pool[pool < n],
            test=test[test < n],
            names=cache.names(),
            text=cache.text(),
            fingerprint=_fingerprint(cache, listing, n),
        )

    @property
    def n(self) -> int:
        """Rows in all, failed images among them."""
        return len(self.labels)


def _fingerprint(cache: EmbeddingCache, listing: Mapping[str, npt.NDArray[Any]], n: int) -> str:
    sha = hashlib.sha256(cache.identity.weights.encode())
    sha.update("\0".join(listing["key"][:n].tolist()).encode())
    for column in (cache.read("digest"), listing["label"], listing["split"]):
        sha.update(column[:n].tobytes())
    return sha.hexdigest()
