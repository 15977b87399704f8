"""The whole loop on known labels, option by option: what each one changes, and what it must not."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcache import registry
from clipcache.dataset import Dataset
from clipcache.heads.base import LinearWeights
from clipcache.heads.linear import Linear
from clipcache.labels import Round
from clipcache.loop import replay
from clipcache.pool import Pool
from clipcache.run import Run
from clipcache.run_config import RunConfig
from clipcache.strategies.margin import Margin

CONFIG = RunConfig("margin", "linear", init="stratified:2", batch=5, rounds=3, seed=1)


@contextmanager
def played(folder: Path, data: Dataset, **options: Any) -> Iterator[Run]:
    """Give a run in a new folder that has been replayed to its end."""
    folder.mkdir()
    run = Run(folder, replace(CONFIG, **options), data)
    replay(run)
    yield run
    run.store.close()


def saved_head(run: Run, number: int) -> LinearWeights:
    return LinearWeights.load(run.folder / "heads" / f"{number:03d}.safetensors")


@pytest.mark.parametrize("strategy", registry.names("strategies"))
@pytest.mark.parametrize("head", registry.names("heads"))
def test_every_strategy_runs_to_its_end_with_every_head(
    tmp_path: Path, dataset: Dataset, strategy: str, head: str
) -> None:
    with played(tmp_path / "run", dataset, strategy=strategy, head=head) as run:
        assert [len(b) for b in run.store.batches()] == [16, 5, 5, 5]
        assert run.ballots.labels() == {
            row: int(dataset.labels[row]) for batch in run.store.batches() for row in batch.tolist()
        }


def test_each_round_is_told_once_and_on_continuing_only_the_new_ones(
    tmp_path: Path, dataset: Dataset
) -> None:
    run = Run(tmp_path, CONFIG, dataset)
    told: list[Round] = []

    class Stopped(Exception):
        pass

    def stop_after_two(closed: Round) -> None:
        told.append(closed)
        if len(told) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        replay(run, stop_after_two)
    rounds = replay(Run(tmp_path, CONFIG, dataset), told.append)
    assert told == rounds
    assert [r.round for r in told] == [0, 1, 2, 3]
    assert replay(run, told.append) == rounds
    assert len(told) == 4
    run.store.close()


def test_one_seed_shares_start_and_evaluation_whatever_else_differs(
    tmp_path: Path, dataset: Dataset
) -> None:
    others: list[dict[str, Any]] = [
        {"strategy": "entropy"},
        {"strategy": "random"},
        {"head": "zero_shot"},
        {"subsample": 50},
        {"train_on": "latest"},
        {"label_noise": 0.5},
        {"batch": 9, "rounds": 1},
    ]
    with played(tmp_path / "first", dataset, eval_size=40) as first:
        for number, options in enumerate(others):
            with played(tmp_path / str(number), dataset, eval_size=40, **options) as run:
                np.testing.assert_array_equal(run.store.batches()[0], first.store.batches()[0])
                np.testing.assert_array_equal(run.test, first.test)
        with played(tmp_path / "other", dataset, eval_size=40, seed=2) as run:
            assert set(run.store.batches()[0].tolist()) != set(first.store.batches()[0].tolist())
            assert set(run.test.tolist()) != set(first.test.tolist())


def test_strategies_part_ways_after_the_start(tmp_path: Path, dataset: Dataset) -> None:
    batches = {}
    for strategy in registry.names("strategies"):
        with played(tmp_path / strategy, dataset, strategy=strategy) as run:
            batches[strategy] = tuple(np.concatenate(run.store.batches()).tolist())
    assert len(set(batches.values())) == len(batches)


def test_margin_learns_faster_than_chance(tmp_path: Path, dataset: Dataset) -> None:
    with played(tmp_path / "run", dataset, rounds=12, batch=10) as run:
        rounds = run.store.rounds()
    assert rounds[0].top1 > 0.4  # chance is 0.125
    assert rounds[-1].top1 > rounds[0].top1 + 0.05
    assert all(r.top1 <= r.top5 <= 1 for r in rounds)


def spied_pools(monkeypatch: pytest.MonkeyPatch) -> list[Pool]:
    seen: list[Pool] = []
    select = Margin.select

    def spy(self: Margin, pool: Pool, budget: int, *, rng: np.random.Generator) -> Any:
        seen.append(pool)
        return select(self, pool, budget, rng=rng)

    monkeypatch.setattr(Margin, "select", spy)
    return seen


def test_subsample_shows_so_many_random_rows_a_round(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spied_pools(monkeypatch)
    with played(tmp_path / "run", dataset, subsample=300) as run:
        batches = run.store.batches()
        for number, (pool, batch) in enumerate(zip(seen, batches[1:], strict=True)):
            asked = np.concatenate(batches[: number + 1])
            assert len(pool.unlabeled) == 300
            assert np.isin(pool.unlabeled, np.setdiff1d(run.pool, asked)).all()
            assert np.isin(batch, pool.unlabeled).all()
    shown = [set(pool.unlabeled.tolist()) for pool in seen]
    assert len(shown[0] & shown[1]) < 280


def test_subsample_larger_than_the_pool_is_the_full_pool(tmp_path: Path, dataset: Dataset) -> None:
    with (
        played(tmp_path / "full", dataset) as full,
        played(tmp_path / "part", dataset, subsample=10_000) as part,
    ):
        for a, b in zip(full.store.batches(), part.store.batches(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_subsample_of_one_batch_is_taken_whole(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spied_pools(monkeypatch)
    with played(tmp_path / "run", dataset, subsample=5) as run:
        for pool, batch in zip(seen, run.store.batches()[1:], strict=True):
            assert set(batch.tolist()) == set(pool.unlabeled.tolist())


def test_eval_size_measures_on_so_many_test_images(tmp_path: Path, dataset: Dataset) -> None:
    with played(tmp_path / "run", dataset, eval_size=20) as run:
        assert len(run.test) == 20
        assert np.isin(run.test, dataset.test).all()
        assert (dataset.labels[run.test] >= 0).all()
        for closed in run.store.rounds():
            logits = saved_head(run, closed.round).logits(
                dataset.features[run.test].astype(np.float32)
            )
            share = (logits.argmax(axis=1) == dataset.labels[run.test]).mean()
            assert closed.top1 == pytest.approx(share)


@pytest.mark.parametrize("train_on", ["all", "latest"])
def test_train_on_decides_which_labels_teach(
    tmp_path: Path, dataset: Dataset, train_on: str
) -> None:
    with played(tmp_path / "run", dataset, train_on=train_on) as run:
        batches = run.store.batches()
        rows = batches[-1] if train_on == "latest" else np.concatenate(batches)
        expected = Linear().fit(
            dataset.features[rows].astype(np.float32),
            dataset.labels[rows],
            n_classes=8,
            text=None,
            rng=np.random.default_rng(0),
        )
        np.testing.assert_array_equal(saved_head(run, 3).weight, expected.weight)


def spied_starts(monkeypatch: pytest.MonkeyPatch) -> list[LinearWeights | None]:
    seen: list[LinearWeights | None] = []
    fit = Linear.fit

    def spy(self: Linear, *arguments: Any, **named: Any) -> LinearWeights:
        seen.append(named["start"])
        return fit(self, *arguments, **named)

    monkeypatch.setattr(Linear, "fit", spy)
    return seen


def test_head_start_fresh_begins_at_zero_every_round(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spied_starts(monkeypatch)
    with played(tmp_path / "run", dataset):
        assert seen == [None] * 4


def test_head_start_continue_begins_where_the_last_round_ended(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spied_starts(monkeypatch)
    with played(tmp_path / "run", dataset, head_start="continue") as run:
        assert seen[0] is None
        for number, start in enumerate(seen[1:]):
            assert start is not None
            np.testing.assert_array_equal(start.weight, saved_head(run, number).weight)
            np.testing.assert_array_equal(start.bias, saved_head(run, number).bias)


def test_label_noise_spoils_what_is_taught_and_not_what_is_measured(
    tmp_path: Path, dataset: Dataset
) -> None:
    options = {"init": "random:200", "rounds": 1}
    with played(tmp_path / "clean", dataset, **options) as clean:
        told = clean.ballots.labels()
        assert all(dataset.labels[row] == label for row, label in told.items())
        honest = clean.store.rounds()[0].top1
    with played(tmp_path / "noisy", dataset, label_noise=0.3, **options) as noisy:
        told = noisy.ballots.labels()
        wrong = np.mean([dataset.labels[row] != label for row, label in told.items()])
        assert abs(wrong - 0.3) < 0.15
    with played(tmp_path / "liar", dataset, label_noise=1.0, **options) as liar:
        told = liar.ballots.labels()
        assert all(dataset.labels[row] != label for row, label in told.items())
        # Were it measured against the same lies, it would look good.
        assert liar.store.rounds()[0].top1 < 0.1 < 0.6 < honest


def test_zero_shot_learns_nothing_and_is_the_same_every_round(
    tmp_path: Path, dataset: Dataset
) -> None:
    with played(tmp_path / "run", dataset, head="zero_shot") as run:
        rounds = run.store.rounds()
        assert dataset.text is not None
        logits = dataset.features[run.test].astype(np.float64) @ dataset.text.vectors.T
        share = (logits.argmax(axis=1) == dataset.labels[run.test]).mean()
        assert [r.top1 for r in rounds] == [pytest.approx(share)] * 4
        assert share > 0.5


def test_inputs_are_untouched(tmp_path: Path, dataset: Dataset) -> None:
    # The arrays of the data are read-only, so that a writer fails; this finds one that lifts that.
    before = dataset.features.copy(), dataset.labels.copy()
    with played(tmp_path / "run", dataset, label_noise=0.5):
        np.testing.assert_array_equal(dataset.features, before[0])
        np.testing.assert_array_equal(dataset.labels, before[1])
