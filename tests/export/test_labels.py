"""CSV, JSON, COCO and Label Studio hold the same labels."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from clipcache.errors import RunError
from clipcache.export.base import ExportOptions, export_as, known_images
from clipcache.images.source import SourceOptions, open_source
from clipcache.label_studio.labelling import BROKEN, read
from tests.export.conftest import Labelled

URL = ExportOptions(image_url="https://example.org/photos/{key}?size=full")
CAPE = 'cape, "long"'


def test_what_is_known_of_each_image(labelled: Labelled) -> None:
    run, said = labelled
    known = {image.row: image for image in known_images(run)}
    assert [*known] == sorted(known)

    def of(row: int) -> tuple[str | None, str, tuple[str, ...], str, str]:
        image = known[row]
        assert image.key == f"{row:06d}.jpg"
        assert image.time.startswith("20")
        return image.label, image.status, image.annotators, image.source, image.use

    both = ("ann", "bob")
    assert of(said.agreed) == ("class 1", "labelled", both, "page", "pool")
    assert of(said.differing) == (None, "disputed", both, "page", "pool")
    assert of(said.decided) == ("class 2", "labelled", (*both, "chief"), "decision", "pool")
    assert of(said.skipped) == (None, "skipped", both, "page", "pool")
    assert of(said.excluded) == (None, "excluded", both, "label-studio", "pool")
    assert of(said.waiting) == (None, "open", ("ann",), "page", "pool")
    assert of(said.made) == (CAPE, "labelled", both, "page", "pool")
    assert said.withdrawn not in known
    others = {row: image for row, image in known.items() if row not in said}
    assert sorted(others) == run.test.tolist()
    for row, image in others.items():
        assert image.label == run.names[run.data.labels[row]]
        assert (image.source, image.use, image.annotators, image.time) == ("cache", "test", (), "")


def test_the_labels_of_the_pool_are_hidden_where_people_are_asked_about_all(
    labelled: Labelled,
) -> None:
    run, said = labelled
    rows = {image.row for image in known_images(run) if image.use == "pool"}
    assert rows == set(said) - {said.withdrawn}


def test_csv_is_a_table_to_embed_from_again(labelled: Labelled, tmp_path: Path) -> None:
    export_as("csv", labelled.run, tmp_path / "labels.csv")
    with (tmp_path / "labels.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    for line, image in zip(lines, known_images(labelled.run), strict=True):
        assert line["label"] == (image.label or "")
        assert line["annotators"] == ", ".join(image.annotators)
        for name in ("key", "status", "time", "source", "use"):
            assert line[name] == getattr(image, name)
    options = SourceOptions(path_column="key", label_column="label", split="column:use")
    found = {item.key: item for item in open_source(tmp_path / "labels.csv", options)}
    for image in known_images(labelled.run):
        assert (found[image.key].label, found[image.key].split) == (image.label, image.use)


def test_json_holds_the_whole_history(labelled: Labelled, tmp_path: Path) -> None:
    run, said = labelled
    export_as("json", run, tmp_path / "labels.json")
    content = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    assert tuple(content["classes"]) == run.names
    assert content["encoder"] == run.cache.identity.to_dict()
    history = {image["row"]: image["history"] for image in content["images"]}
    told = [(h["annotator"], h["label"], h["source"]) for h in history[said.decided]]
    assert told == [
        ("ann", "class 1", "page"),
        ("bob", "class 2", "page"),
        ("chief", "class 2", "decision"),
    ]
    assert [h["label"] for h in history[said.excluded]] == ["excluded", "excluded"]


def load(labelled: Labelled, form: str, path: Path) -> Any:
    export_as(form, labelled.run, path, URL)
    return json.loads(path.read_text(encoding="utf-8"))


def test_coco_points_from_annotations_to_images_and_categories(
    labelled: Labelled, tmp_path: Path
) -> None:
    coco = load(labelled, "coco", tmp_path / "coco.json")
    known = {image.key: image for image in known_images(labelled.run)}
    images = {image["id"]: image for image in coco["images"]}
    categories = {category["id"]: category["name"] for category in coco["categories"]}
    assert len(images) == len(known)
    assert list(categories.items()) == list(enumerate(labelled.run.names, 1))
    found = {
        images[a["image_id"]]["file_name"]: categories[a["category_id"]]
        for a in coco["annotations"]
    }
    assert found == {key: image.label for key, image in known.items() if image.label}
    assert len({a["id"] for a in coco["annotations"]}) == len(coco["annotations"])
    for image in images.values():
        assert image["coco_url"] == URL.url(image["id"] - 1, image["file_name"])
        assert image["status"] == known[image["file_name"]].status


def test_label_studio_reads_each_answer_back(labelled: Labelled, tmp_path: Path) -> None:
    tasks = load(labelled, "label_studio", tmp_path / "tasks.json")
    form = read((tmp_path / "tasks.xml").read_text(), "the file")
    assert set(form.names) == set(labelled.run.names)
    by_key = {task["meta"]["key"]: task for task in tasks}
    for image in known_images(labelled.run):
        task = by_key[image.key]
        assert task["data"][form.image_key] == URL.url(image.row, image.key)
        assert task["meta"]["annotators"] == list(image.annotators)
        if image.status in ("open", "disputed"):
            assert task["annotations"] == []
            continue
        (annotation,) = task["annotations"]
        if image.status == "skipped":
            assert annotation == {"result": [], "was_cancelled": True}
        else:
            expected = BROKEN if image.status == "excluded" else image.label
            assert form.choice(annotation["result"]) == expected


def test_label_studio_needs_to_know_where_images_are(labelled: Labelled, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--image-url"):
        export_as("label_studio", labelled.run, tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.xml", "a.XML"])
def test_label_studio_does_not_write_its_tasks_over_their_configuration(
    labelled: Labelled, tmp_path: Path, name: str
) -> None:
    with pytest.raises(RunError, match=r"configuration goes, .* as in --out .*a\.json"):
        export_as("label_studio", labelled.run, tmp_path / name, URL)
    assert not list(tmp_path.glob("a.*"))


def test_one_address_for_all_images_is_refused() -> None:
    for url in ("", "{}", "https://example.org/", "https://example.org/{}"):
        with pytest.raises(RunError, match=r"--image-url .* write \{key\} or \{row\}"):
            ExportOptions(url)


def test_an_address_holds_a_key_safely() -> None:
    assert URL.url(3, "a b/größe?.jpg").startswith("https://example.org/photos/a%20b/gr%C3%B6")
    assert URL.url(3, "50%.jpg").endswith("/50%25.jpg?size=full")
    assert ExportOptions("https://host/{row}").url(3, "a.jpg") == "https://host/3"
    assert ExportOptions().url(3, "a b.jpg") == "a b.jpg"
