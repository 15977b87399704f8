"""Rounds whose encoder learns too: fresh or continued, resumed after a kill, refused in a line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clipcache.cache.reader import EmbeddingCache
from clipcache.embed import EmbedOptions, embed
from clipcache.errors import RunError
from clipcache.finetune import rounds as module
from clipcache.finetune.finetune import FinetuneOptions, reopened
from clipcache.finetune.kept import Kept, Mode, Seconds, refuse_tuned
from clipcache.finetune.relisted import Relisted
from clipcache.finetune.rounds import TunedRun
from clipcache.finetune.tune import TuneOptions
from clipcache.images.folder import Folder
from clipcache.labels import Round
from clipcache.loop import replay
from clipcache.run import Run
from clipcache.run_config import RunConfig
from tests.pictures import folder

CONFIG = RunConfig("margin", "linear", init="random:8", batch=3, rounds=1)
QUICK = FinetuneOptions(TuneOptions(epochs=1, batch_size=8, alpha=1.0), device="cpu")


@contextmanager
def tuned(
    path: Path,
    cache: EmbeddingCache,
    mode: Mode = "fresh",
    images: Path | None = None,
    config: RunConfig = CONFIG,
) -> Iterator[TunedRun]:
    images = images or cache.path.parent / "photos"
    run = TunedRun.begin_tuned(path, config, cache, mode, images, QUICK)
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


@pytest.mark.parametrize("call", [0, 2], ids=["round 0", "round 1"])
def test_a_kill_between_a_checkpoint_and_its_seconds_costs_no_more_than_these(
    tmp_path: Path, drawn: EmbeddingCache, call: int
) -> None:
    with tuned(tmp_path / "whole", drawn) as run:
        whole = replay(run)
    path, calls, timed = tmp_path / "cut", count(), Kept.timed

    def dying(kept: Kept, seconds: Seconds) -> None:
        if next(calls) == call:
            raise KeyboardInterrupt
        timed(kept, seconds)

    dies = patch.object(Kept, "timed", dying)
    with tuned(path, drawn) as run, dies, pytest.raises(KeyboardInterrupt):
        replay(run)
    number, before = call // 2, Kept(path).seconds()
    assert Kept(path).checkpoint(number).exists()
    assert [s.round for s in before] == list(range(number))
    with tuned(path, drawn) as run:
        assert without_seconds(replay(run)) == without_seconds(whole)
    after = Kept(path).seconds()
    assert after[:number] == before
    assert [s.round for s in after] == [0, 1]
    assert after[number].train == 0
    assert after[number].embed > 0


@pytest.mark.parametrize("mode", ["fresh", "continue"])
def test_a_round_with_labels_of_one_class_trains_nothing(
    tmp_path: Path, drawn: EmbeddingCache, mode: Mode
) -> None:
    config = replace(CONFIG, init="random:1", rounds=2)
    plain = Run.begin(tmp_path / "plain", config, drawn)
    first = replay(plain)[0]
    plain.store.close()
    with tuned(tmp_path / "run", drawn, mode, config=config) as run:
        done = replay(run)
        assert without_seconds(done[:1]) == without_seconds([first])
    assert [closed.labels for closed in done] == [1, 4, 7]
    assert [s.round for s in Kept(run.folder).seconds()] == [1, 2]


def test_the_latest_labels_may_be_of_one_class_again(tmp_path: Path, drawn: EmbeddingCache) -> None:
    config = replace(CONFIG, batch=1, train_on="latest", rounds=2)
    with tuned(tmp_path / "run", drawn, "continue", config=config) as run:
        done = replay(run)
        head = run.head()
        assert head is not None
        guesses = head.logits(run.data.features[run.test].astype(np.float32)).argmax(axis=1)
        assert done[2].top1 == pytest.approx((guesses == run.data.labels[run.test]).mean())
    assert len(done) == 3
    assert [s.round for s in Kept(run.folder).seconds()] == [0]


def test_other_images_in_its_rows_are_noticed(tmp_path: Path, drawn: EmbeddingCache) -> None:
    path = tmp_path / "run"
    stopped = patch.object(module, "embed_again", side_effect=KeyboardInterrupt)
    with tuned(path, drawn) as run, stopped, pytest.raises(KeyboardInterrupt):
        replay(run)
    with tuned(path, drawn) as run:
        encoder = reopened(Kept(path).checkpoint(0), drawn.identity, "cpu")
        listed = Relisted.of(run, Folder(drawn.path.parent / "photos"))
        backwards = listed.only(np.arange(drawn.n)[::-1])
        embed(backwards, encoder, Kept(path).cache(0), EmbedOptions())
        with pytest.raises(
            RunError, match=r"row 0 of .*000\.zarr is .*same images in the same row"
        ):
            replay(run)


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
