"""Labels as JSON: classes in their order, and every image with its whole history."""

from dataclasses import asdict
from pathlib import Path

from clipcache.export.base import ExportOptions, known_images, write_json
from clipcache.labels import EXCLUDED, SKIPPED, WITHDRAWN
from clipcache.run import Run

MARKS = {SKIPPED: "skipped", EXCLUDED: "excluded", WITHDRAWN: "withdrawn"}


def export(run: Run, out: Path, options: ExportOptions) -> str:
    """Write the file, and return what it holds, in words."""
    known = known_images(run)
    said: dict[int, list[dict[str, str | int]]] = {}
    history, names = run.store.history(), run.names
    for given in history:
        said.setdefault(given.row, []).append(
            {
                "label": names[given.label] if given.label >= 0 else MARKS[given.label],
                "annotator": given.annotator,
                "source": given.source,
                "round": given.round,
                "time": given.time,
            }
        )
    write_json(
        out,
        {
            "classes": names,
            "cache": str(run.cache.path),
            "encoder": run.cache.identity.to_dict(),
            "images": [{**asdict(image), "history": said.get(image.row, [])} for image in known],
        },
    )
    return f"{len(known):,} images, {len(history):,} entries of the history"
