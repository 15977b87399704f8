"""What is in a cache, in numbers and words."""

from collections import Counter
from typing import Any

import numpy as np

from clipcache.cache.layout import State
from clipcache.cache.reader import EmbeddingCache
from clipcache.images.base import SPLITS


def count_usable(cache: EmbeddingCache) -> tuple[int, int, int]:
    """Return how many embedded images are in the pool and held out, and how many have no label."""
    done = cache.read("state") == State.DONE
    labels, splits = cache.read("label")[done], cache.read("split")[done]
    pool, test = (int((splits == code).sum()) for code in range(len(SPLITS)))
    return pool, test, int((labels < 0).sum())


def describe(cache: EmbeddingCache) -> dict[str, Any]:
    """Return JSON-ready facts about a cache, finished or not."""
    listing, states = cache.listing(), cache.read("state")
    labels, splits = listing["label"], listing["split"]
    names = cache.names()
    per_class = np.bincount(labels[labels >= 0], minlength=len(names))
    failed = np.flatnonzero(states == State.FAILED)
    reasons = Counter(cache.read("reason", slice(r, r + 1))[0] for r in failed.tolist())
    text = cache.text() if names else None
    return {
        "path": str(cache.path),
        "encoder": cache.identity.to_dict(),
        "images": cache.n,
        "embedded": int((states == State.DONE).sum()),
        "pending": int((states == State.PENDING).sum()),
        "failed": len(failed),
        "reasons": {str(reason): count for reason, count in reasons.most_common()},
        "labelled": int((labels >= 0).sum()),
        "splits": {name: int((splits == code).sum()) for code, name in enumerate(SPLITS)},
        "classes": {name: int(count) for name, count in zip(names, per_class, strict=True)},
        "templates": list(text.templates) if text else [],
        "dim": cache.dim,
        "chunk_rows": cache.chunk_rows,
        "chunks": cache.chunks,
        "bytes": sum(f.stat().st_size for f in cache.folder.rglob("*") if f.is_file()),
    }
