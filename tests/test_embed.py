"""From folders of drawn images through the real encoder to a cache, and all that may change."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipcache.cache import EmbeddingCache
from clipcache.cache.info import describe
from clipcache.embed import EmbedOptions, EmbedSummary, embed
from clipcache.errors import (
    CacheDamagedError,
    CacheMissingError,
    ImageError,
    SourceError,
)
from clipcache.images.decode import decode
from clipcache.images.folder import Folder
from clipcache.images.source import SourceOptions, open_source
from tests.pictures import draw, folder, hostile, save, tree
from tests.real_encoder import Counting, tiny

OPTIONS = EmbedOptions(batch_size=5, workers=2, chunk_rows=8)


def run(
    root: Path, path: Path, encoder: Counting | None = None, **options: object
) -> tuple[EmbedSummary, EmbeddingCache]:
    """Embed a folder as it is now."""
    chosen = replace(OPTIONS, **options)  # type: ignore[arg-type]
    summary = embed(Folder(root), encoder or tiny(), path, chosen)
    return summary, EmbeddingCache.open(path)


def by_key(cache: EmbeddingCache, column: str) -> dict[str, object]:
    return dict(zip(cache.keys().tolist(), cache.read(column).tolist(), strict=True))


def class_of(cache: EmbeddingCache) -> dict[str, str | None]:
    names = cache.names()
    labels = zip(cache.keys().tolist(), cache.labels().tolist(), strict=True)
    return {key: names[label] if label >= 0 else None for key, label in labels}


def check_vectors(root: Path, cache: EmbeddingCache) -> None:
    """Every row is what the encoder says of that one image, by hand."""
    for key, row in zip(cache.keys().tolist(), cache.embeddings(), strict=True):
        assert row.dtype == np.float16
        pixels = tiny().preprocess(decode((root / key).read_bytes()))[None]
        expected = tiny().encode_images(pixels)[0]
        assert row.astype(np.float32) @ expected > 0.999
        np.testing.assert_allclose(row, expected, atol=2e-3)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """21 images: 9 coats, 8 hats, 4 of no class."""
    return folder(tmp_path / "photos", {"coat": 9, "hat": 8, "": 4})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_every_row_is_what_the_encoder_says_of_its_image(root: Path, path: Path) -> None:
    summary, cache = run(root, path)
    assert replace(summary, seconds=0.0) == EmbedSummary(21, 21, 0, 0, 0, 0.0, (), 21, 0, 4)
    assert cache.keys().tolist() == [item.key for item in Folder(root)]
    assert class_of(cache) == {item.key: item.label for item in Folder(root)}
    check_vectors(root, cache)
    # The first coat was drawn from seed 0: no other row may be nearer to that drawing.
    drawn = tiny().encode_images(tiny().preprocess(draw(0))[None])[0]
    nearest = int(np.argmax(cache.embeddings().astype(np.float32) @ drawn))
    assert cache.keys()[nearest] == "coat/000.png"


def test_text_is_the_mean_over_templates(root: Path, path: Path) -> None:
    templates = ("a photo of a {}.", "my {}")
    _, cache = run(root, path, templates=templates)
    text = cache.text()
    assert text is not None
    assert (text.names, text.templates) == (("coat", "hat"), templates)
    assert text.logit_scale == pytest.approx(tiny().logit_scale)
    for name, vector in zip(text.names, text.vectors, strict=True):
        both = tiny().encode_text([f"a photo of a {name}.", f"my {name}"]).mean(axis=0)
        np.testing.assert_allclose(vector, both / np.linalg.norm(both), atol=1e-5)


def test_doing_it_again_encodes_nothing_and_changes_no_byte(root: Path, path: Path) -> None:
    run(root, path)
    before, encoder = tree(path), Counting()
    summary, _ = run(root, path, encoder)
    assert (encoder.images, encoder.prompts) == (0, [])
    assert (summary.processed, summary.unchanged) == (0, 21)
    assert tree(path) == before


def test_new_images_get_new_rows_and_only_they_are_encoded(root: Path, path: Path) -> None:
    _, cache = run(root, path)
    old = cache.embeddings()
    folder(root, {"hat": 14, "belt": 3}, seed=500)  # hats 0 to 7 are drawn anew as well
    for number in range(8):
        save(root / "hat" / f"{number:03d}.png", 9 + number)
    stamps = by_key(cache, "stamp")
    for key in (f"hat/{number:03d}.png" for number in range(8)):
        os.utime(root / key, ns=(0, stamps[key][1]))  # type: ignore[index]
    encoder = Counting()
    summary, cache = run(root, path, encoder)
    assert (summary.images, summary.processed, encoder.images) == (30, 9, 9)
    np.testing.assert_array_equal(cache.embeddings()[:21], old)
    assert cache.keys().tolist()[21:] == [
        *(f"belt/{number:03d}.png" for number in range(3)),
        *(f"hat/{number:03d}.png" for number in range(8, 14)),
    ]
    check_vectors(root, cache)


def test_appending_in_steps_ends_with_the_vectors_of_one_go(tmp_path: Path) -> None:
    for count in (3, 8, 11, 17):
        root = folder(tmp_path / "photos", {"": count})
        stepwise = run(root, tmp_path / "steps")[1]
    once = run(root, tmp_path / "once")[1]
    assert stepwise.keys().tolist() == once.keys().tolist()
    np.testing.assert_allclose(stepwise.embeddings(), once.embeddings(), atol=1e-3)
    assert list(stepwise.damage()) == []


def test_a_class_that_sorts_first_leaves_stored_labels_right(root: Path, path: Path) -> None:
    _, cache = run(root, path)
    (root / "coat" / "000.png").unlink()  # gone: nobody will tell its label again
    folder(root, {"apron": 2}, seed=700)
    _, cache = run(root, path)
    assert cache.names() == ("coat", "hat", "apron")
    expected = {item.key: item.label for item in Folder(root)}
    assert class_of(cache) == expected | {"coat/000.png": "coat"}
    text = cache.text()
    assert text is not None
    apron = tiny().encode_text(["a photo of a apron."])[0]
    np.testing.assert_allclose(text.vectors[2], apron, atol=1e-5)


def test_a_changed_image_is_encoded_again_and_no_other(root: Path, path: Path) -> None:
    _, cache = run(root, path)
    old = cache.embeddings()
    save(root / "hat" / "003.png", 900)
    encoder = Counting()
    summary, cache = run(root, path, encoder)
    assert (summary.processed, encoder.images) == (1, 1)
    row = cache.keys().tolist().index("hat/003.png")
    changed = np.flatnonzero((cache.embeddings() != old).any(axis=1))
    assert changed.tolist() == [row]
    check_vectors(root, cache)


def test_a_touched_image_is_read_but_not_encoded(root: Path, path: Path) -> None:
    _, cache = run(root, path)
    old = cache.embeddings()
    os.utime(root / "hat" / "003.png", (1, 1))
    encoder = Counting()
    summary, cache = run(root, path, encoder)
    assert (summary.processed, encoder.images) == (1, 0)
    np.testing.assert_array_equal(cache.embeddings(), old)
    assert by_key(cache, "stamp")["hat/003.png"][1] == 10**9  # type: ignore[index]
    summary, _ = run(root, path, encoder)
    assert summary.processed == 0


def test_an_image_that_is_gone_keeps_its_row(root: Path, path: Path) -> None:
    _, cache = run(root, path)
    old = cache.embeddings()
    shutil.rmtree(root / "coat")
    summary, cache = run(root, path)
    assert (summary.images, summary.gone, summary.unchanged) == (12, 9, 12)
    np.testing.assert_array_equal(cache.embeddings(), old)
    assert cache.names() == ("coat", "hat")
    folder(root, {"coat": 9})
    summary, _ = run(root, path)
    assert summary.gone == 0


def test_a_table_relabels_and_moves_between_splits(root: Path, path: Path, tmp_path: Path) -> None:
    table = tmp_path / "photos" / "list.csv"
    keys = [item.key for item in Folder(root)]

    def write(labels: dict[str, str], splits: dict[str, str]) -> None:
        lines = [f"{key},{labels.get(key, '')},{splits.get(key, '')}" for key in keys]
        table.write_text("\n".join(["path,class,part", *lines]) + "\n")

    def go(encoder: Counting) -> EmbeddingCache:
        options = SourceOptions(label_column="class", split="column:part")
        embed(open_source(table, options), encoder, path, OPTIONS)
        return EmbeddingCache.open(path)

    labels, splits = {keys[0]: "red", keys[9]: "blue"}, {keys[9]: "test"}
    write(labels, splits)
    cache = go(Counting())
    assert class_of(cache) == {key: labels.get(key) for key in keys}
    assert cache.rows("test").tolist() == [9]
    before = cache.embeddings()
    labels, splits = {keys[0]: "blue", keys[20]: "azure"}, {keys[0]: "val"}
    write(labels, splits)
    encoder = Counting()
    cache = go(encoder)
    assert encoder.images == 0
    assert class_of(cache) == {key: labels.get(key) for key in keys}
    assert cache.rows("test").tolist() == [0]
    np.testing.assert_array_equal(cache.embeddings(), before)
    assert list(cache.damage()) == []


def test_images_that_cannot_be_used_are_counted_and_the_others_embedded(
    root: Path, path: Path
) -> None:
    reasons = hostile(root / "hat")
    summary, cache = run(root, path)
    assert (summary.images, summary.failed) == (27, 6)
    stored = by_key(cache, "reason")
    states = by_key(cache, "state")
    for item in Folder(root):
        word = reasons.get(Path(item.key).name)
        assert states[item.key] == (2 if word else 1)
        assert (word or "") in str(stored[item.key])
        assert bool(stored[item.key]) == bool(word)
    failed = [row for row, key in enumerate(cache.keys()) if stored[str(key)]]
    assert not cache.embeddings()[failed].any()
    assert not set(failed) & set(cache.rows("pool").tolist())
    assert len(cache.rows("pool")) == 21
    assert len(summary.failures) == 6
    assert all(key.split(": ")[0] in stored for key in summary.failures)
    info = describe(cache)
    assert (info["failed"], info["embedded"], sum(info["reasons"].values())) == (6, 21, 6)


def test_a_failed_image_is_tried_again_once_its_file_has_changed(root: Path, path: Path) -> None:
    (root / "hat" / "late.jpg").write_text("not yet")
    (root / "hat" / "lost.png").symlink_to(root / "nowhere.png")
    summary, _ = run(root, path)
    assert summary.failed == 2
    encoder = Counting()
    summary, _ = run(root, path, encoder)
    assert (summary.processed, summary.failed, encoder.images) == (0, 2, 0)
    draw(77).save(root / "hat" / "late.jpg")
    save(root / "nowhere.png", 78)
    summary, cache = run(root, path, encoder)
    assert (summary.failed, encoder.images) == (0, 3)  # nowhere.png is an image of its own too
    assert set(by_key(cache, "reason").values()) == {""}
    check_vectors(root, cache)


def test_a_good_image_that_breaks_loses_its_vector(root: Path, path: Path) -> None:
    run(root, path)
    (root / "hat" / "002.png").write_bytes(b"\x89PNG\r\n\x1a\nbut no more")
    summary, cache = run(root, path)
    row = cache.keys().tolist().index("hat/002.png")
    assert summary.failed == 1
    assert not cache.embeddings()[row].any()
    assert row not in cache.rows("pool")


def test_strict_stops_at_the_first_and_can_go_on(root: Path, path: Path) -> None:
    (root / "hat" / "0000.jpg").write_text("no picture")
    with pytest.raises(ImageError, match=r"hat/0000\.jpg: not an image"):
        run(root, path, strict=True)
    assert not any(name.endswith("partial") for name in tree(path))
    draw(5).save(root / "hat" / "0000.jpg")
    _, cache = run(root, path, strict=True)
    check_vectors(root, cache)


def test_changed_templates_change_the_text_and_nothing_else(root: Path, path: Path) -> None:
    run(root, path)
    before, encoder = tree(path), Counting()
    _, cache = run(root, path, encoder, templates=("the {}",))
    assert encoder.images == 0
    assert encoder.prompts == ["the coat", "the hat"]
    changed = {name for name, data in tree(path).items() if before.get(name) != data}
    assert changed == {"text/zarr.json", "text/vectors/c/0/0"}
    assert cache.text().templates == ("the {}",)  # type: ignore[union-attr]


@pytest.mark.parametrize("template", ["no hole", "{} and {}", ""])
def test_a_bad_template_leaves_nothing_behind(root: Path, path: Path, template: str) -> None:
    with pytest.raises(SourceError, match=r"must contain \{\} once"):
        run(root, path, templates=(template,))
    assert not path.exists()
    with pytest.raises(CacheMissingError):
        EmbeddingCache.open(path)


def test_the_number_of_threads_changes_no_byte(root: Path, tmp_path: Path) -> None:
    hostile(root / "hat")
    for workers in (1, 2, 7):
        run(root, tmp_path / f"cache{workers}", workers=workers)
    one = tree(tmp_path / "cache1")
    assert tree(tmp_path / "cache2") == one
    assert tree(tmp_path / "cache7") == one


def test_batches_are_full_and_stay_within_a_chunk(root: Path, path: Path) -> None:
    (root / "coat" / "000.jpg").write_text("bad images take no place in a batch")
    encoder = Counting()
    run(root, path, encoder)
    # Rows by chunk: 8; 8, one of them bad (the fourth: files of the root come first); 6.
    assert encoder.batches == [5, 2, 5, 3, 5, 1]


def test_progress_reaches_the_end(root: Path, path: Path) -> None:
    (root / "coat" / "000.jpg").write_text("bad")
    calls: list[tuple[int, int, int]] = []
    embed(Folder(root), tiny(), path, OPTIONS, lambda *numbers: calls.append(numbers))
    assert calls[0] == (0, 0, 22)
    assert calls[-1] == (22, 1, 22)
    assert calls == sorted(calls)


@pytest.mark.parametrize("column", ["embedding", "state", "digest"])
def test_a_new_seal_never_hides_a_damaged_chunk(root: Path, path: Path, column: str) -> None:
    """A changed image has its chunk rewritten; a neighbour lost from disk must not become zeros."""
    run(root, path)
    file = next(f for f in (path / "images" / column / "c" / "0",) if f.exists())
    (file / "0" if file.is_dir() else file).unlink()
    save(root / "000.png", 900)
    with pytest.raises(CacheDamagedError, match="result of chunk 0"):
        run(root, path)
    with pytest.raises(CacheDamagedError):
        EmbeddingCache.open(path).embeddings()


def test_an_empty_source_is_refused(tmp_path: Path, path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(SourceError, match="no image"):
        run(tmp_path / "photos", path)
    assert not path.exists()


PEAK = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from clipcache.embed import EmbedOptions, embed
from clipcache.images.folder import Folder
from tests.real_encoder import tiny
options = EmbedOptions(batch_size=16, workers=2, chunk_rows=128)
for photos in ("few", "many"):
    folder = Path(sys.argv[1]) / photos
    embed(Folder(folder), tiny(), folder.with_suffix(".cache"), options)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """A thousand more would be 49 MB as pixels."""
    for name, count in (("few", 200), ("many", 1200)):
        (tmp_path / name).mkdir()
        for number in range(count):
            picture = Image.new("RGB", (8, 8), (number % 256, number // 256, 0))
            picture.save(tmp_path / name / f"{number}.bmp")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    few, many = map(int, done.stdout.split())
    assert many - few < 20, (few, many)
