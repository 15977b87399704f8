"""The words by which people say that an image is held out, or not."""

from clipcache.errors import SourceError

SPLIT_WORDS = {
    "train": "pool",
    "pool": "pool",
    "test": "test",
    "val": "test",
    "valid": "test",
    "validation": "test",
}
"""The split that each word means; there is one held-out split, so validation images join it."""

EXPECTED = ", ".join(SPLIT_WORDS)
"""All known words, for messages."""


def split_meant(word: str) -> str | None:
    """Return the split that a word means in any case of letters, None for an unknown word.

    >>> split_meant("Val")
    'test'
    """
    return SPLIT_WORDS.get(word.strip().lower())


def split_of_folder(name: str, root: str) -> str:
    """Return the split that a folder right below `root` stands for; SourceError where it is none.

    >>> split_of_folder("validation", "photos")
    'test'
    """
    split = split_meant(name)
    if split is None:
        raise SourceError(
            f"the folder {name!r} in {root} is not a split: expected {EXPECTED}; "
            "rename it, or leave out the split level"
        )
    return split
