"""A list of class names in a text file."""

from pathlib import Path

from clipcache.errors import SourceError


def read_names(path: Path) -> tuple[str, ...]:
    """Return the class names in a UTF-8 file, one a line, in the order of the file.

    Blank lines and lines that begin with "#" are passed over. Raises SourceError where the file
    cannot be read, names nothing, or names something twice.
    """
    lines: dict[str, int] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        if name in lines:
            raise SourceError(
                f"{path} names the class {name!r} on lines {lines[name]} and {number}: "
                "leave one of them"
            )
        lines[name] = number
    if not lines:
        raise SourceError(f"{path} has no class names: expected one a line")
    return tuple(lines)


def _text(path: Path) -> str:
    """Return what is in the file, without a byte order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceError(
            f"cannot read class names from {path} ({error.strerror}): "
            "expected a text file with one name a line"
        ) from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 text: save it as UTF-8") from error
