"""Labels in the form of COCO, as far as that goes for classes of whole images.

`images`, `categories` (ids from 1, as there) and `annotations` are those of COCO's instances. What
is different: an annotation says what the whole image is, so it has no `bbox`, `area`,
`segmentation` or `iscrowd`, and an image has no `width` and `height`, which the cache does not
keep. Tools for detection will want these; tools that only read `category_id` will not. An image
that was skipped or excluded has no annotation; `status` says why.
"""

from pathlib import Path

from clipcache.export.base import ExportOptions, classes_of, known_images, write_json
from clipcache.run import Run


def export(run: Run, out: Path, options: ExportOptions) -> str:
    """Write the file, and return what it holds, in words."""
    known = known_images(run)
    names = classes_of(known, run.names)
    ids = {name: place for place, name in enumerate(names, 1)}
    images = [
        {
            "id": image.row + 1,
            "file_name": image.key,
            "coco_url": options.url(image.row, image.key),
            "split": image.use,
            "status": image.status,
        }
        for image in known
    ]
    labelled = [image for image in known if image.label is not None]
    annotations = [
        {"id": place, "image_id": image.row + 1, "category_id": ids[image.label or ""]}
        for place, image in enumerate(labelled, 1)
    ]
    categories = [{"id": ids[name], "name": name, "supercategory": ""} for name in names]
    info = {"description": f"labels of {run.folder.name}", "version": "1.0"}
    write_json(
        out,
        {"info": info, "images": images, "categories": categories, "annotations": annotations},
    )
    return f"{len(images):,} images, {len(annotations):,} annotations, {len(names)} categories"
