"""Labels as a table, a line an image: key, label, status, annotators, time, source, use."""

import csv
from io import StringIO
from pathlib import Path

from clipcache.durable import write_file
from clipcache.export.base import ExportOptions, known_images
from clipcache.run import Run

COLUMNS = ("key", "label", "status", "annotators", "time", "source", "use")


def export(run: Run, out: Path, options: ExportOptions) -> str:
    """Write the table, and return what it holds, in words.

    It can be embedded from again, with `--path-column key --label-column label`.
    """
    known, text = known_images(run), StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for image in known:
        people = ", ".join(image.annotators)
        writer.writerow(
            [image.key, image.label, image.status, people, image.time, image.source, image.use]
        )
    write_file(out, text.getvalue().encode())
    labelled = sum(image.label is not None for image in known)
    return f"{labelled:,} labels, {len(known) - labelled:,} images without one"
