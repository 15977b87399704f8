"""Labels as tasks with annotations, for Label Studio's import.

The labelling configuration that they fit is written beside, as `.xml`: it is the one of
`clipcache label-studio push`, so a project that has it can take these tasks too. Annotations carry
no user of Label Studio, which it would refuse if it did not know them; who labelled is in `meta`.
"""

from pathlib import Path
from typing import Any

from clipcache.durable import write_file
from clipcache.errors import RunError
from clipcache.export.base import ExportOptions, Known, classes_of, known_images, write_json
from clipcache.label_studio.labelling import BROKEN, Form, make, read
from clipcache.run import Run


def export(run: Run, out: Path, options: ExportOptions) -> str:
    """Write both files, and return what they hold, in words."""
    if options.image_url is None:
        raise RunError(
            "Label Studio reaches images by their address; say what it is, with {key} or {row} "
            "where images differ, as in --image-url 'https://example.org/photos/{key}'"
        )
    if out.suffix.lower() == ".xml":
        raise RunError(
            f"{out} is where the labelling configuration goes, tasks are JSON: name another file, "
            f"as in --out {out.with_suffix('.json')}"
        )
    known = known_images(run)
    config = make(classes_of(known, run.names))
    form = read(config, str(out))
    tasks = [_task(image, form, options) for image in known]
    beside = out.with_suffix(".xml")
    write_file(beside, config.encode())
    write_json(out, tasks)
    done = sum(bool(task["annotations"]) for task in tasks)
    return f"{len(tasks):,} tasks, {done:,} annotated; their labelling configuration is {beside}"


def _task(image: Known, form: Form, options: ExportOptions) -> dict[str, Any]:
    """Return one task; an image that nobody has settled has no annotation."""
    chosen = BROKEN if image.status == "excluded" else image.label
    annotations: list[dict[str, Any]] = []
    if chosen:
        annotations = [{"result": form.result(chosen)}]
    elif image.status == "skipped":
        annotations = [{"result": [], "was_cancelled": True}]
    url = options.url(image.row, image.key)
    data: dict[str, Any] = {form.image_key: url, "likely": image.label or ""}
    if form.buttons_key:
        data[form.buttons_key] = form.options([image.label] if image.label else [])
    meta = {"key": image.key, "annotators": list(image.annotators), "split": image.use}
    return {"data": data, "annotations": annotations, "meta": meta}
