"""What formats share: what is known of each image, and how a JSON file is written."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from clipcache import registry
from clipcache.ballots import DISPUTED, OPEN
from clipcache.durable import write_file
from clipcache.errors import RunError, UnknownNameError
from clipcache.image_url import image_url, is_pattern
from clipcache.labels import DECISION, EXCLUDED, SKIPPED, WITHDRAWN, Given
from clipcache.run import Run


@dataclass(frozen=True)
class ExportOptions:
    """What some formats need beside the run."""

    image_url: str | None = None
    """The address of an image, as https://host/{key}, or with {row}; None: its bare key."""
    images: Path | None = None
    """A folder of images that a network is checked on."""
    pretrained: str | None = None
    """Where the encoder's weights are, if not where the cache remembers."""

    def __post_init__(self) -> None:
        """Raise RunError where all images would have one address."""
        if self.image_url is not None and not is_pattern(self.image_url):
            raise RunError(
                f"--image-url {self.image_url!r} is the same for all images: write {{key}} or "
                "{row} where they differ"
            )

    def url(self, row: int, key: str) -> str:
        """Return the address of one image."""
        return key if self.image_url is None else image_url(self.image_url, row, key)


def export_as(form: str, run: Run, out: Path, options: ExportOptions | None = None) -> str:
    """Write what a run has in one of the formats, whole or not at all; say what was written.

    `form` is the name of a file of this folder, such as "csv" or "onnx".

    Raises UnknownNameError for another one, RunError where there is nothing to write yet or the
    format asks for something that is missing.
    """
    if form not in registry.names("export"):
        raise UnknownNameError(
            f"no format called {form!r}; there are: {', '.join(registry.names('export'))}"
        )
    if not out.parent.is_dir():
        raise RunError(f"there is no folder {out.parent} to write {out.name} to; make it first")
    said: str = import_module(f"clipcache.export.{form}").export(
        run, out, options or ExportOptions()
    )
    return said


STATUS = {SKIPPED: "skipped", EXCLUDED: "excluded", OPEN: "open", DISPUTED: "disputed"}
"""Of an image without a label: nobody could tell; it is broken or of no class; more people are to
look at it; people differ."""


@dataclass(frozen=True)
class Known:
    """What is known of one image."""

    row: int
    key: str
    label: str | None
    status: str
    """"labelled", or one of `STATUS`."""
    annotators: tuple[str, ...]
    """Who said what still holds; empty where the cache knew."""
    time: str
    """When the last of them said so, UTC, ISO 8601; "" where the cache knew."""
    source: str
    """Where that was, such as "page"; "cache" where the cache knew."""
    use: str
    """What the label is for: "pool" where it teaches, "test" where it only measures."""


def known_images(run: Run) -> list[Known]:
    """Return the images of a run that somebody said something about, by row.

    RunError where there are none. Labels of the cache are among them where they teach or measure.
    """
    keys, ballots, spoken = run.cache.keys(), run.ballots, _spoken(run)
    label_of = {row: ballots.standing(row) for row in ballots.rows()}
    test = {*run.test.tolist(), *run.held_out.tolist()}
    for rows, labels in (run.labelled(), run.measured()):
        label_of |= dict(zip(rows.tolist(), labels.tolist(), strict=True))
    if not label_of:
        raise RunError(f"{run.folder} has no labels yet; label images first")
    names = run.names  # after the labels, for a class is always there before its labels

    def known(row: int, label: int) -> Known:
        said = spoken.get(row, [])
        return Known(
            row=row,
            key=str(keys[row]),
            label=names[label] if label >= 0 else None,
            status=STATUS.get(label, "labelled"),
            annotators=tuple(dict.fromkeys(given.annotator for given in said)),
            time=said[-1].time if said else "",
            source=said[-1].source if said else "cache",
            use="test" if row in test else "pool",
        )

    return [known(row, label) for row, label in sorted(label_of.items())]


def _spoken(run: Run) -> dict[int, list[Given]]:
    """Return row -> what was said about it and still holds, the last at the end."""
    found: dict[int, dict[str, Given]] = {}
    for given in run.store.history():
        said, who = found.setdefault(given.row, {}), given.annotator
        slot = DECISION if given.source == DECISION else f"by {who}"
        said.pop(slot, None)
        if given.label != WITHDRAWN:
            said[slot] = given
    return {row: list(said.values()) for row, said in found.items()}


def classes_of(known: Iterable[Known], names: Iterable[str]) -> list[str]:
    """Return the classes in their order; RunError where no image has one."""
    if not any(image.label is not None for image in known):
        raise RunError("no image has a label yet, all were skipped or excluded; label images first")
    return list(names)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_file(path, json.dumps(value, indent=2, ensure_ascii=False).encode())
