"""A finished cache in memory: what a run works on."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Features, Labels, RowIds
from clipcache.cache.reader import EmbeddingCache
from clipcache.errors import RunError
from clipcache.text import LabelText


@dataclass(frozen=True, eq=False)
class Dataset:
    """The first `n` rows of a cache; rows that were appended later take no part."""

    features: Features = field(repr=False)
    """(n, d) float16."""
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
        """Read all embeddings into memory (2 * dim bytes a row), each chunk checked.

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
        return cls(
            features=cache.embeddings()[:n],
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
        return len(self.features)


def _fingerprint(cache: EmbeddingCache, listing: Mapping[str, npt.NDArray[Any]], n: int) -> str:
    sha = hashlib.sha256(cache.identity.weights.encode())
    sha.update("\0".join(listing["key"][:n].tolist()).encode())
    for column in (cache.read("digest"), listing["label"], listing["split"]):
        sha.update(column[:n].tobytes())
    return sha.hexdigest()
