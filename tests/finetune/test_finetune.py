"""From a run to a checkpoint and a new cache."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clipcache.cache.reader import EmbeddingCache
from clipcache.classifier.lesson import Lesson
from clipcache.classifier.taught import rows_taught
from clipcache.embed import EmbedOptions, embed
from clipcache.encoder_of import encoder_of
from clipcache.encoders.base import Identity
from clipcache.encoders.openclip import OpenClip
from clipcache.encoders.options import EncoderOptions
from clipcache.errors import ClipcacheError, EncoderError, RunError
from clipcache.finetune import finetune as module
from clipcache.finetune.checkpoint import write_checkpoint
from clipcache.finetune.finetune import FinetuneOptions, finetune, reopened
from clipcache.finetune.relisted import Relisted
from clipcache.finetune.tower import Tune
from clipcache.finetune.tune import TuneOptions
from clipcache.images.folder import Folder
from clipcache.images.source import SourceOptions, open_source
from clipcache.people import open_run
from clipcache.review import already_learned
from clipcache.run import Run
from clipcache.run_config import RunConfig
from tests.finetune.conftest import Labelled
from tests.images.test_parquet import written
from tests.labelled_run import labelled_run, tell_truth
from tests.pictures import folder
from tests.real_encoder import tiny
from tests.synthetic import write_cache

QUICK = FinetuneOptions(TuneOptions(epochs=1, batch_size=8, alpha=1.0), device="cpu")
Fresh = Callable[[], OpenClip]


def test_the_checkpoint_is_a_whole_model_that_embed_takes(
    labelled: Labelled, tmp_path: Path, fresh: Fresh
) -> None:
    out, cache = tmp_path / "tuned.safetensors", tmp_path / "tuned.zarr"
    summary = finetune(labelled.run, labelled.photos, out, QUICK, cache=cache)
    loaded = OpenClip.load(EncoderOptions("clipcache-tiny", str(out), device="cpu"))
    old, new = fresh().model.state_dict(), loaded.model.state_dict()
    assert {n for n in old if not torch.equal(old[n], new[n])} == {
        n for n in load_file(out) if n.startswith("visual.") and not torch.equal(old[n], new[n])
    }
    opened, before = EmbeddingCache.open(cache), labelled.run.cache
    assert opened.identity == loaded.identity
    assert opened.identity != before.identity
    assert opened.identity.pretrained == "tuned.safetensors"
    encoder_of(opened.identity, str(out), device="cpu")  # which checks that it is the same
    np.testing.assert_array_equal(opened.keys(), before.keys())
    rows = opened.rows("pool")[:5]
    images = [loaded.prepare((labelled.photos / opened.keys()[row]).read_bytes()) for row in rows]
    vectors = loaded.encode_images(np.stack(images))
    np.testing.assert_allclose(opened.embeddings()[rows], vectors, atol=2e-3)
    text, words = opened.text(), before.text()
    assert text is not None
    assert words is not None
    np.testing.assert_allclose(text.vectors, words.vectors, atol=1e-6)  # words stay where they are
    assert summary.embedded
    assert summary.embedded.images == opened.n


def test_both_caches_are_measured_with_the_same_labels(labelled: Labelled, tmp_path: Path) -> None:
    run, cache = labelled.run, tmp_path / "tuned.zarr"
    summary = finetune(run, labelled.photos, tmp_path / "t.safetensors", QUICK, cache=cache)
    rows, labels = run.measured()
    lesson = Lesson.of(run)
    logits = lesson.fit().logits(run.data.features[rows].astype(np.float32))
    assert summary.test == len(rows) > 0
    assert summary.before
    assert summary.before.top1 == (logits.argmax(axis=1) == labels).mean()
    features = EmbeddingCache.open(cache).embeddings().astype(np.float32)
    again = replace(lesson, x=features[lesson.rows]).fit().logits(features[rows])
    assert summary.after
    assert summary.after.top1 == (again.argmax(axis=1) == labels).mean()
    assert summary.own
    assert set(summary.seconds) == {"load", "read", "train", "write", "embed", "fit"}


def test_without_a_cache_the_trained_head_is_measured_all_the_same(
    labelled: Labelled, tmp_path: Path
) -> None:
    with_cache, without = (
        finetune(labelled.run, labelled.photos, tmp_path / name, QUICK, cache=cache)
        for name, cache in (("a.safetensors", tmp_path / "tuned.zarr"), ("b.safetensors", None))
    )
    assert without.own == with_cache.own
    assert without.before == with_cache.before
    assert (without.after, without.embedded) == (None, None)


def test_alpha_0_writes_the_old_weights(labelled: Labelled, tmp_path: Path, fresh: Fresh) -> None:
    out, cache = tmp_path / "same.safetensors", tmp_path / "same.zarr"
    options = replace(QUICK, tune=replace(QUICK.tune, alpha=0.0, tune=Tune.parse("lora:2")))
    finetune(labelled.run, labelled.photos, out, options, cache=cache)
    assert not len(rows_taught(EmbeddingCache.open(cache)))
    old = fresh()
    written = load_file(out)
    assert all(torch.equal(written[name], p) for name, p in old.model.state_dict().items())
    loaded = OpenClip.load(EncoderOptions("clipcache-tiny", str(out), device="cpu"))
    assert loaded.identity == old.identity


def test_the_same_seed_writes_the_same_bytes(labelled: Labelled, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for out in files:
        finetune(labelled.run, labelled.photos, out, QUICK)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_people_said_and_their_classes_go_along(labelled: Labelled, tmp_path: Path) -> None:
    run, cache = labelled.run, tmp_path / "tuned.zarr"
    made = run.add_class("scarf", annotator="ann")
    row, other = run.labelled()[0][:2].tolist()
    run.record([row, other], [made, made], annotator="ann", source="page")
    summary = finetune(run, labelled.photos, tmp_path / "t.safetensors", QUICK, cache=cache)
    opened = EmbeddingCache.open(cache)
    assert opened.names() == ("coat", "hat", "scarf")
    assert opened.labels()[[row, other]].tolist() == [2, 2]
    assert summary.classes == 3
    rest = np.setdiff1d(np.arange(opened.n), [row, other])
    np.testing.assert_array_equal(opened.labels()[rest], run.cache.labels()[rest])


def test_what_was_held_out_stays_held_out(tmp_path: Path, labelled: Labelled) -> None:
    cache = labelled.run.cache.path
    run = open_run(tmp_path / "held", cache, asks="all", held_out=3, init="random:6")
    tell_truth(run, run.propose())
    source = Relisted.of(run, Folder(labelled.photos))
    splits = {item.key: item.split for item in source}
    keys = run.cache.keys()
    assert len(run.held_out) == 3
    assert {splits[keys[row]] for row in run.held_out} == {"test"}
    assert not set(run.held_out.tolist()) & set(run.labelled()[0].tolist())
    run.store.close()


def test_images_that_are_gone_are_counted(labelled: Labelled, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    folder(photos, {"coat": 16, "hat": 14, "": 4})
    rows = labelled.run.labelled()[0]
    lost = photos / labelled.run.cache.keys()[rows[0]]
    lost.unlink()
    summary = finetune(
        labelled.run, photos, tmp_path / "t.safetensors", QUICK, cache=tmp_path / "c.zarr"
    )
    assert (summary.skipped, summary.reason) == (1, "file not found")
    assert summary.labels == len(rows) - 1
    assert summary.embedded
    assert summary.embedded.failed == 1
    with pytest.raises(RunError, match=r"none of the .* labelled images can be used.*--images"):
        finetune(labelled.run, tmp_path, tmp_path / "none.safetensors", QUICK)


def test_images_may_come_from_any_source(tmp_path: Path) -> None:
    """The same ones in a .parquet train the same network, and make the same vectors."""
    root = folder(tmp_path / "photos", {"coat": 12, "hat": 12})
    files = sorted(root.rglob("*.png"))
    names = [file.parent.name for file in files]
    path = written(tmp_path / "train.parquet", [f.read_bytes() for f in files], label=names)
    made = []
    for source, options in (
        (root, SourceOptions(split="random:0.3")),
        (path, SourceOptions(split="random:0.3", label_column="label")),
    ):
        cache = tmp_path / f"{source.name}.zarr"
        embed(open_source(source, options), tiny(), cache, EmbedOptions())
        opened = EmbeddingCache.open(cache)
        replayed = RunConfig("random", "linear", init="random:12", rounds=0)
        run = Run.begin(tmp_path / f"{source.name} run", replayed, opened)
        tell_truth(run, run.propose())
        tuned = tmp_path / f"{source.name} tuned.zarr"
        out = tmp_path / f"{source.name}.safetensors"
        summary = finetune(run, source, out, QUICK, cache=tuned)
        assert (summary.skipped, summary.test) == (0, len(run.test))
        assert summary.embedded
        assert (summary.embedded.images, summary.embedded.failed) == (24, 0)
        assert EmbeddingCache.open(tuned).keys().tolist() == opened.keys().tolist()
        made.append(EmbeddingCache.open(tuned).identity.weights)
        assert made[-1] != opened.identity.weights
        again = finetune(run, None, tmp_path / f"{source.name} again.safetensors", QUICK)
        assert again.labels == summary.labels
        run.store.close()


def test_vectors_made_elsewhere_are_refused(tmp_path: Path) -> None:
    config = RunConfig("random", "linear", init="random:30", rounds=0)
    run = Run.begin(tmp_path / "run", config, write_cache(tmp_path / "cache"))
    rows = run.propose()
    run.record(rows, run.data.labels[rows], annotator="a", source="cache")
    with pytest.raises(EncoderError, match="made elsewhere"):
        finetune(run, tmp_path, tmp_path / "t.safetensors", QUICK)
    run.store.close()


def test_a_run_without_labels_is_refused(tmp_path: Path, labelled: Labelled) -> None:
    run = open_run(tmp_path / "new", labelled.run.cache.path, asks="all", held_out=0)
    with pytest.raises(RunError, match="has 0 labels"):
        finetune(run, labelled.photos, tmp_path / "t.safetensors", QUICK)
    run.store.close()


@pytest.mark.parametrize(
    ("name", "words"), [("tuned.pt", "does not end in .safetensors"), ("no/t.safetensors", "make")]
)
def test_a_name_is_refused_before_anything_is_done(
    labelled: Labelled, tmp_path: Path, name: str, words: str
) -> None:
    with (
        patch.object(module, "tune", side_effect=AssertionError),
        pytest.raises(ClipcacheError, match=words),
    ):
        finetune(labelled.run, labelled.photos, tmp_path / name, QUICK)


def test_nothing_that_is_there_is_written_to(labelled: Labelled, tmp_path: Path) -> None:
    """Weights are all that some cache has of its encoder, and a cache is of one encoder."""
    kept, new = tmp_path / "kept.safetensors", tmp_path / "new.safetensors"
    kept.write_bytes(b"the weights of some cache")
    own = labelled.run.cache.path
    with patch.object(module, "tune", side_effect=AssertionError):
        with pytest.raises(RunError, match=r"kept\.safetensors already.* name another --out"):
            finetune(labelled.run, labelled.photos, kept, QUICK)
        for there in (own, labelled.photos, kept):
            with pytest.raises(RunError, match=f"{there} is there already.* another --cache"):
                finetune(labelled.run, labelled.photos, new, QUICK, cache=there)
    assert kept.read_bytes() == b"the weights of some cache"
    assert not new.exists()


def test_a_lower_precision_is_measured_anew_for_new_weights(tmp_path: Path, fresh: Fresh) -> None:
    checkpoint = tmp_path / "t.safetensors"
    write_checkpoint(checkpoint, fresh().model)
    identity = replace(fresh().identity, dtype="bfloat16", checked="measured of other weights")
    found = reopened(checkpoint, identity, "cpu").identity
    assert found.dtype == "bfloat16"
    assert found.checked.startswith("bfloat16 on cpu, against float32")


def test_a_cache_knows_which_labels_its_encoder_was_trained_on(
    labelled: Labelled, tmp_path: Path
) -> None:
    run, first = labelled.run, tmp_path / "first.zarr"
    finetune(run, labelled.photos, tmp_path / "first.safetensors", QUICK, cache=first)
    taught, cache = run.labelled()[0], EmbeddingCache.open(first)
    np.testing.assert_array_equal(rows_taught(cache), taught)
    with labelled_run(tmp_path / "next", cache, rounds=1, init="random:14", seed=8) as run:
        rows = run.labelled()[0]
        assert 0 < already_learned(run) == np.isin(rows, taught).sum() < len(rows)
        options = replace(QUICK, pretrained=str(tmp_path / "first.safetensors"))
        for name, alpha in (("second", 1.0), ("same", 0.0)):
            options = replace(options, tune=replace(QUICK.tune, alpha=alpha))
            out = tmp_path / f"{name}.safetensors"
            finetune(run, labelled.photos, out, options, cache=tmp_path / f"{name}.zarr")
    for name, expected in (("second", np.union1d(taught, rows)), ("same", taught)):
        found = rows_taught(EmbeddingCache.open(tmp_path / f"{name}.zarr"))
        np.testing.assert_array_equal(found, expected)


def test_weights_that_cannot_be_had_again_are_told(labelled: Labelled, tmp_path: Path) -> None:
    identity = labelled.run.cache.identity
    gone = Identity(**{**identity.to_dict(), "pretrained": "gone.pt"})
    with (
        patch.object(labelled.run.cache, "identity", gone),
        pytest.raises(EncoderError, match="name it with --pretrained"),
    ):
        finetune(labelled.run, labelled.photos, tmp_path / "t.safetensors", QUICK)


def test_kill_9_leaves_no_checkpoint(labelled: Labelled, tmp_path: Path) -> None:
    out = tmp_path / "t.safetensors"
    code = (
        "import sys, clipcache.finetune.checkpoint as c\n"
        "save = c.save_file\n"
        "def slow(weights, path):\n"
        "    save(weights, path); print('written', flush=True); import time; time.sleep(60)\n"
        "c.save_file = slow\n"
        "from clipcache.cli.main import main\n"
        "main()\n"
    )
    command = ["finetune", labelled.run.folder, "--images", labelled.photos, "--out", out]
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, command), "--epochs", "1", "--device", "cpu"],
        stdout=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"written\n"
        time.sleep(0.05)
        process.kill()
        assert process.wait() == -9
    assert not out.exists()
