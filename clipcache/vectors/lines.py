"""A text file with one entry a line."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clipcache.errors import SourceError


@dataclass(frozen=True)
class Lines:
    """The lines of a UTF-8 file without their ends; each loop reads the file anew."""

    path: Path

    def __iter__(self) -> Iterator[str]:
        """Yield every line, empty ones too; SourceError where the file cannot be read."""
        try:
            with self.path.open(encoding="utf-8-sig") as file:
                for line in file:
                    yield line.removesuffix("\n")
        except OSError as error:
            raise SourceError(
                f"cannot read {self.path} ({error.strerror}): expected a text file with one line "
                "a row"
            ) from error
        except UnicodeDecodeError as error:
            raise SourceError(f"{self.path} is not UTF-8 text: save it as UTF-8") from error
