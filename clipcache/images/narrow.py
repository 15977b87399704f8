"""Fewer classes than a source has: without some, only the most frequent, or a given list."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from clipcache.errors import SourceError
from clipcache.images.base import Item, Source, Stamp


@dataclass(frozen=True)
class Narrow:
    """A source without the images of some of another's classes; unlabelled images all stay.

    First the classes in `exclude` are dropped, then all but the `top` with the most images (of
    equal ones those first by name). With `names` the classes are exactly these, in this order, and
    an image of yet another class is an error, not dropped.
    """

    source: Source
    exclude: frozenset[str] = frozenset()
    top: int | None = None
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        names = self.names or ()
        for name, count in Counter(names).items():
            if count > 1:
                raise SourceError(f"the list of class names has {name!r} twice: leave one of them")
        for name in sorted(self.exclude.intersection(names)):
            raise SourceError(f"{name!r} is in the list of class names and excluded: drop one")

    def __iter__(self) -> Iterator[Item]:
        """Yield the images that stay, in the wrapped source's order.

        Raises SourceError where the classes cannot be narrowed as asked, or an image has a label
        that is not in `names`.
        """
        kept = frozenset(self._kept) if self._drops else None
        listed = None if self.names is None else frozenset(self.names)
        for item in self.source:
            if item.label is not None:
                if kept is not None and item.label not in kept:
                    continue
                if listed is not None and item.label not in listed:
                    raise SourceError(
                        f"{item.key} is labelled {item.label!r}, which is not in the list of "
                        f"{len(listed)} class names: add it to the list, or --exclude-label it"
                    )
            yield item

    def class_names(self) -> tuple[str, ...]:
        """Return `names` where given, else the wrapped source's names that stay, in its order."""
        return self._kept if self.names is None else self.names

    def stamp(self, key: str) -> Stamp:
        """Return size and time of one image's file, MISSING where there is none."""
        return self.source.stamp(key)

    def read(self, key: str) -> bytes:
        """Return the encoded bytes of one image; raise ImageError where they cannot be read."""
        return self.source.read(key)

    @property
    def _drops(self) -> bool:
        """Whether any class may be dropped."""
        return bool(self.exclude) or self.top is not None

    @cached_property
    def _kept(self) -> tuple[str, ...]:
        """The wrapped source's class names that are neither excluded nor too rare, remembered."""
        names = self.source.class_names()
        unknown = sorted(self.exclude.difference(names))
        if unknown:
            raise SourceError(
                f"the label {unknown[0]!r} is to be excluded but never occurs; "
                f"there are: {', '.join(names) or 'none'}"
            )
        left = tuple(name for name in names if name not in self.exclude)
        if self.top is None:
            return left
        most = self._most_frequent(left, self.top)
        return tuple(name for name in left if name in most)

    def _most_frequent(self, names: tuple[str, ...], top: int) -> frozenset[str]:
        """Return the `top` of `names` with the most images; needs one pass over the source."""
        if not 1 <= top <= len(names):
            raise SourceError(
                f"the {top} most frequent classes were asked for, but {len(names)} are there "
                f"once the excluded ones are gone: ask for 1 to {len(names)}"
            )
        counts = Counter(item.label for item in self.source)
        return frozenset(sorted(names, key=lambda name: (-counts[name], name))[:top])
