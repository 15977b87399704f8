"""Rounds whose encoder learns too: fresh or continued, resumed after a kill, refused in a line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clipcache.cache.reader import EmbeddingCache
from clipcache.errors import RunError
from clipcache.finetune import rounds as module
from clipcache.finetune.finetune import FinetuneOptions
from clipcache.finetune.kept import Kept, Mode, refuse_tuned
from clipcache.finetune.rounds import TunedRun
from clipcache.finetune.tune import TuneOptions
from clipcache.labels import Round
from clipcache.loop import replay
from clipcache.run import Run
from clipcache.run_config import RunConfig
from tests.pictures import folder

CONFIG = RunConfig("margin", "linear", init="random:8", batch=3, rounds=1)
QUICK = FinetuneOptions(TuneOptions(epochs=1, batch_size=8, alpha=1.0), device="cpu")


@contextmanager
def tuned(
    path: Path, cache: EmbeddingCache, mode: Mode = "fresh", images: Path | None = None
) -> Iterator[TunedRun]:
    images = images or cache.path.parent / "photos"
    run = TunedRun.begin_tuned(path, CONFIG, cache, mode, images, QUICK)
    try:
        yield run
    finally:
        run.store.close()


def without_seconds(rounds: list[Round]) -> list[Round]:
    return [replace(r, fit_seconds=0, score_seconds=0, select_seconds=0) for r in rounds]


def test_each_round_works_on_vectors_of_its_own(tmp_path: Path, drawn: EmbeddingCache) -> None:
    with tuned(tmp_path / "run", drawn) as run:
        done = replay(run)
        assert [closed.labels for closed in done] == [8, 11]
        assert [closed.agreement for closed in done] == [None, None]
        kept = Kept(run.folder)
        assert [s.round for s in kept.seconds()] == [0, 1]
        assert all(s.train > 0 and s.embed > 0 for s in kept.seconds())
        # What the last round measured is what its head makes of the last round's vectors.
        assert not kept.checkpoint(0).exists()
        assert not kept.cache(0).exists()
        newest = EmbeddingCache.open(kept.cache(1))
        assert newest.identity != drawn.identity
        head = run.head()
        assert head is not None
        x = newest.embeddings()[run.test].astype(np.float32)
        guesses = head.logits(x).argmax(axis=1)
        assert done[1].top1 == pytest.approx((guesses == run.data.labels[run.test]).mean())


def test_the_two_ways_begin_from_different_weights(tmp_path: Path, drawn: EmbeddingCache) -> None:
    found = {}
    for mode in ("fresh", "continue"):
        with (
            patch.object(module, "trainable", wraps=module.trainable) as original,
            tuned(tmp_path / mode, drawn, mode) as run,  # type: ignore[arg-type]
        ):
            replay(run)
        assert original.call_count == {"fresh": 2, "continue": 1}[mode]
        found[mode] = load_file(Kept(tmp_path / mode).checkpoint(1))
    name = "visual.attnpool.c_proj.weight"
    assert not torch.equal(found["fresh"][name], found["continue"][name])


def test_a_run_that_was_cut_off_ends_with_the_same_rounds(
    tmp_path: Path, drawn: EmbeddingCache
) -> None:
    with tuned(tmp_path / "whole", drawn, "continue") as run:
        whole, batches = replay(run), run.batches
    path = tmp_path / "cut"
    stopped = patch.object(module, "embed_again", side_effect=KeyboardInterrupt)
    with tuned(path, drawn, "continue") as run, stopped, pytest.raises(KeyboardInterrupt):
        replay(run)
    with tuned(path, drawn, "continue") as run:
        assert without_seconds(replay(run)) == without_seconds(whole)
        for one, other in zip(run.batches, batches, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_finished_run_trains_no_more(tmp_path: Path, drawn: EmbeddingCache) -> None:
    with tuned(tmp_path / "run", drawn) as run:
        done = replay(run)
    with (
        tuned(tmp_path / "run", drawn) as run,
        patch.object(module, "tune", side_effect=AssertionError),
    ):
        assert replay(run) == done


def test_another_way_is_refused(tmp_path: Path, drawn: EmbeddingCache) -> None:
    with tuned(tmp_path / "run", drawn):
        pass
    with (
        pytest.raises(RunError, match=r"begun with finetune fresh.*this is finetune continue"),
        tuned(tmp_path / "run", drawn, "continue"),
    ):
        pass
    with pytest.raises(RunError, match="begun with --finetune; give it again"):
        refuse_tuned(tmp_path / "run")
    plain = Run.begin(tmp_path / "plain", CONFIG, drawn)
    plain.store.close()
    with pytest.raises(RunError, match="no --finetune"), tuned(tmp_path / "plain", drawn):
        pass


def test_what_compares_heads_of_two_rounds_is_refused(
    tmp_path: Path, drawn: EmbeddingCache
) -> None:
    for option in ({"head_start": "continue"}, {"stop": "gain,agreement:0.9"}):
        config = replace(CONFIG, **option)  # type: ignore[arg-type]
        with pytest.raises(RunError, match="cannot be compared"):
            TunedRun.begin_tuned(tmp_path / "run", config, drawn, "fresh", tmp_path, QUICK)
    assert not (tmp_path / "run").exists()


def test_an_image_that_is_gone_stops_it(tmp_path: Path, drawn: EmbeddingCache) -> None:
    photos = folder(tmp_path / "photos", {"coat": 16, "hat": 14, "": 4})
    with tuned(tmp_path / "run", drawn, images=photos) as run:
        start = run.propose()
        key = drawn.keys()[np.setdiff1d(run.pool, start)[0]]
        (photos / key).unlink()
        with pytest.raises(RunError, match=f"1 images .* cannot be used any more.* {key}"):
            replay(run)
