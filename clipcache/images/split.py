"""A held-out split by chance, for sources that come without one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b

from clipcache.errors import SourceError
from clipcache.images.base import Item, Source, Stamp


@dataclass(frozen=True, slots=True)
class RandomSplit:
    """A source that holds out about `fraction` of another's labelled images as "test".

    An image's split is a hash of the seed and its key, so it never changes when images are added,
    removed or reordered. It replaces the split that the wrapped source gave; unlabelled images
    cannot measure anything and always go to the pool.
    """

    source: Source
    fraction: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise SourceError(
                f"the test fraction is {self.fraction}: expected a number between 0 and 1, "
                "both left out; 0.2 holds out a fifth"
            )

    def __iter__(self) -> Iterator[Item]:
        """Yield every image of the wrapped source, with the split drawn for it."""
        for item in self.source:
            held_out = item.label is not None and self._draw(item.key) < self.fraction
            yield replace(item, split="test" if held_out else "pool")

    def class_names(self) -> tuple[str, ...]:
        """Return the class names of the wrapped source."""
        return self.source.class_names()

    def stamp(self, key: str) -> Stamp:
        """Return size and time of one image's file, MISSING where there is none."""
        return self.source.stamp(key)

    def read(self, key: str) -> bytes:
        """Return the encoded bytes of one image; raise ImageError where they cannot be read."""
        return self.source.read(key)

    def _draw(self, key: str) -> float:
        """Return a number in [0, 1) that depends on the seed and the key alone."""
        digest = blake2b(f"{self.seed}\0{key}".encode(), digest_size=6).digest()
        return int.from_bytes(digest, "big") / 2**48


def read_share(text: str) -> float:
    """Return the share that `--split random:SHARE` names; SourceError where it is no number."""
    try:
        return float(text)
    except ValueError:
        raise SourceError(f"--split random:{text} needs a share, as in random:0.2") from None
