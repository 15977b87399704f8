"""Images of a cache that are nearest to some words, to a photo, or to one of them.

find(EmbeddingCache.open(Path("photos.zarr")), "red dress")
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipcache import scoring
from clipcache.arrays import RowIds, Scores, Vectors
from clipcache.cache.reader import EmbeddingCache
from clipcache.dataset import Dataset
from clipcache.encoder_of import encoder_of
from clipcache.encoders.base import Encoder
from clipcache.errors import ArrayError, ImageError
from clipcache.features import Rows
from clipcache.images.base import SPLITS
from clipcache.images.files import read_file
from clipcache.kernels.energy import energy
from clipcache.projection import Weights
from clipcache.text import DEFAULT_TEMPLATES, encode_names
from clipcache.whitening import unit


def search(features: Rows, rows: RowIds, vector: Vectors, k: int) -> tuple[RowIds, Scores]:
    """Return the `k` of the given rows that are nearest to a vector, nearest first, ties by row.

    All of them are looked at, and the result is that of a loop in float64; rows on disk are read
    chunk by chunk.

    Parameters
    ----------
    features : (n, d) float16 or float32 unit rows. rows : (u,) int64, distinct; sorted, where they
        are on disk.
    vector : (d,) float32, finite, of any length but 0.

    Returns
    -------
    (k,) rows and their float32 cosines in [-1, 1]; fewer, where there are not as many. Raises
    ArrayError for a vector that points nowhere, and as `scoring.top` does.
    """
    vector = np.asarray(vector, dtype=np.float32)
    if vector.shape != features.shape[1:] or not np.isfinite(vector).all() or not vector.any():
        raise ArrayError(
            f"expected a vector of {features.shape[1]} finite numbers, not all 0, to search with, "
            f"found {vector.shape}"
        )
    # The energy of a single logit is the logit itself, with its sign turned.
    turned = Weights(-unit(vector[None]).T, np.zeros(1, dtype=np.float32))
    found, cosines = scoring.top(features, rows, turned, energy, k)
    return found, np.clip(cosines, -1, 1)


def templates_of(cache: EmbeddingCache) -> tuple[str, ...]:
    """Return the prompts that class names were put in when the cache was made."""
    text = cache.text()
    return text.templates if text else DEFAULT_TEMPLATES


def of_words(encoder: Encoder, words: str, templates: Sequence[str]) -> Vectors:
    """Return the (d,) vector of some words, put into the templates as a class name is."""
    vector: Vectors = encode_names(encoder, [words], templates).vectors[0]
    return vector


def of_photo(encoder: Encoder, path: Path) -> Vectors:
    """Return the (d,) vector of an image file; ImageError naming it where it cannot be used."""
    try:
        pixels = encoder.prepare(read_file(path.parent, path.name))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    vector: Vectors = encoder.encode_images(pixels[None])[0]
    return vector


@dataclass(frozen=True)
class Found:
    """One image that was found."""

    row: int
    key: str
    cosine: float
    label: str | None
    """What the cache knows of its class."""
    split: str


def search_cache(
    cache: EmbeddingCache, vectors: Sequence[Vectors], k: int, *, like: Sequence[int] = ()
) -> list[Found]:
    """Return the `k` images of a cache that are nearest to the mean of what is given.

    Parameters
    ----------
    vectors : (d,) each, of words and photos.
    like : rows of the cache that are examples too; they are not among what is found.

    Raises ArrayError where nothing is given or a row has no embedding, CacheError where the cache
    is not finished.
    """
    data = Dataset.load(cache)
    rows = np.union1d(data.pool, data.test)
    without = [row for row in like if row not in rows]  # before they must fit into int64
    if without:
        raise ArrayError(
            f"row {without[0]} of {cache.path} has no embedding: expected one of its {len(rows)} "
            "embedded rows"
        )
    examples = np.array(like, dtype=np.int64)
    given = [*vectors, *data.features[examples].astype(np.float32)]
    if not given:
        raise ArrayError("nothing to search for: give words, a photo, a row or a key")
    mean = unit(np.stack(given)).mean(axis=0)
    return look_up(cache, *search(data.features, np.setdiff1d(rows, examples), mean, k))


def find(
    cache: EmbeddingCache,
    words: str | None = None,
    *,
    photos: Sequence[Path] = (),
    like: Sequence[int] = (),
    top: int = 20,
    pretrained: str | None = None,
    device: str = "auto",
) -> list[Found]:
    """Return the `top` images of a cache that are nearest to all that is given, averaged.

    The encoder is loaded for words and photos only; `pretrained` and `device` as in `encoder_of`.
    Of several kinds of examples, photos say more than words: their cosines differ more. Raises what
    `encoder_of`, `of_photo` and `search_cache` raise.
    """
    vectors = []
    if words or photos:
        encoder = encoder_of(cache.identity, pretrained, device=device)
        vectors = [of_photo(encoder, photo) for photo in photos]
        if words:
            vectors.append(of_words(encoder, words, templates_of(cache)))
    return search_cache(cache, vectors, top, like=like)


def look_up(cache: EmbeddingCache, rows: RowIds, cosines: Scores) -> list[Found]:
    """Return what a cache says of some rows."""
    listing, names = cache.listing(), cache.names()
    return [
        Found(
            row,
            str(listing["key"][row]),
            round(float(cosine), 6),
            names[label] if (label := int(listing["label"][row])) >= 0 else None,
            SPLITS[listing["split"][row]],
        )
        for row, cosine in zip(rows.tolist(), cosines, strict=True)
    ]


def row_of(cache: EmbeddingCache, key: str) -> int:
    """Return the row of the image with this key; ArrayError where the cache has none."""
    found = np.flatnonzero(cache.keys() == key)
    if not len(found):
        raise ArrayError(f"{cache.path} has no image with the key {key!r}")
    return int(found[0])
