"""Images in a folder, labelled by the names of its subfolders."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from clipcache.errors import SourceError
from clipcache.images.base import Item, Stamp
from clipcache.images.holdout import split_of_folder
from clipcache.images.roots import Place, Root, root_of

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Files that end otherwise are passed over, whatever is in them; case does not matter."""
SHARDS = (".tar", ".parquet")
"""Files that hold images themselves, which would be missed."""


@dataclass(frozen=True)
class Folder:
    """A source: `root/cat/1.jpg` is labelled "cat", `root/1.jpg` is unlabelled.

    With `split_folders` a level for the split comes first: `root/train/cat/1.jpg`. Names that begin
    with "." are passed over, links to folders are not followed. A prefix of a bucket is a folder.
    """

    root: Place
    split_folders: bool = False

    def __iter__(self) -> Iterator[Item]:
        """Yield every image; in a folder of this machine first its files, then its subfolders.

        Raises SourceError where the root is not a folder that can be listed, holds no image, holds
        shards too, or has a folder that is not a split where one is expected.
        """
        image = shard = ""
        for key in self._files.walk((*EXTENSIONS, *SHARDS)):
            if key.lower().endswith(SHARDS):
                shard = shard or key
            else:
                image = image or key
                yield self._item(key)
            if image and shard:
                raise mixed(self.root, image, shard)
        if not image:
            raise SourceError(
                f"no image in {self.root}: expected files ending in {', '.join(EXTENSIONS)}; "
                "check the path"
            )

    def class_names(self) -> tuple[str, ...]:
        """Return the labels that occur, sorted; the first call lists the whole folder."""
        return self._class_names

    def stamp(self, key: str) -> Stamp:
        """Return size and time of one image's file, MISSING where there is none."""
        return self._files.stamp(key)

    def read(self, key: str) -> bytes:
        """Return the bytes of one image's file; raise ImageError where they cannot be read."""
        return self._files.read(key)

    @cached_property
    def _files(self) -> Root:
        return root_of(self.root)

    @cached_property
    def _class_names(self) -> tuple[str, ...]:
        """All labels, remembered: make a new source where the files have changed."""
        return tuple(sorted({item.label for item in self if item.label is not None}))

    def _item(self, key: str) -> Item:
        """Return the image with the split and label that the folders above it say."""
        above = key.split("/")[:-1]
        split = "pool"
        if self.split_folders and above:
            split = split_of_folder(above.pop(0), str(self.root))
        return Item(key, above[0] if above else None, split)


def mixed(folder: Place, *found: str) -> SourceError:
    """Return the error for a folder in which these files are of different kinds."""
    return SourceError(
        f"{folder} holds {' and '.join(found)}: give a folder of one kind of them, or move the "
        "others away"
    )
