from dataclasses import replace
from pathlib import Path

import pytest

from clipcache import demo
from clipcache.images.folder import Folder
from clipcache.report.demo import FULL, write_page
from clipcache.tiny.garments import CLASSES


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo itself, with few images and few rounds."""
    monkeypatch.setattr(demo, "LARGEST", 8)
    monkeypatch.setattr(demo, "SMALLEST", 4)
    monkeypatch.setattr(demo, "TEST_EACH", 2)
    arms = {name: replace(config, batch=5, rounds=2) for name, config in demo.ARMS.items()}
    monkeypatch.setattr(demo, "ARMS", arms)
    monkeypatch.setattr(demo, "BASE", arms[FULL])


@pytest.mark.usefixtures("small")
def test_the_demo_does_the_main_job_and_repeats_itself(tmp_path: Path) -> None:
    said: list[str] = []
    first = demo.run_demo(tmp_path, seeds=2, say=said.append)
    assert first.embedded.failed == 0
    assert first.embedded.images == first.pool + first.test
    assert first.test == 2 * len(CLASSES)
    assert {len(rounds) for runs in first.arms.values() for rounds in runs} == {3}
    assert len(first.picks) == 5
    for seed in range(2):  # paired: the same first labels, so the same first accuracy
        assert len({runs[seed][0].top1 for runs in first.arms.values()}) == 1
    write_page(first, tmp_path / "report.html")

    again = demo.run_demo(tmp_path, seeds=2, say=said.append)
    assert again.embedded.processed == 0
    assert again.arms == first.arms
    write_page(again, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "report.html").read_bytes()


@pytest.mark.usefixtures("small")
def test_the_pool_is_long_tailed_and_drawn_once(tmp_path: Path) -> None:
    demo.draw_images(tmp_path)
    items = list(Folder(tmp_path, split_folders=True))
    pool = [item.label for item in items if item.split == "pool"]
    assert {pool.count(name) for name in CLASSES} == {4, 5, 6, 7, 8}
    before = {item.key: (tmp_path / item.key).read_bytes() for item in items}
    lost = items[3].key
    (tmp_path / lost).unlink()
    demo.draw_images(tmp_path)
    assert {key: (tmp_path / key).read_bytes() for key in before} == before
