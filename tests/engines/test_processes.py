"""Chunks that are done by real processes, some of which are killed."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from multiprocessing.util import Finalize
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from clipcache.cache import EmbeddingCache
from clipcache.cache.layout import State
from clipcache.embed import EmbedOptions, EmbedSummary, embed
from clipcache.encoders.openclip import OpenClip
from clipcache.encoders.options import EncoderOptions
from clipcache.engines.processes import DEATHS, Processes, _mask_of
from clipcache.engines.work import MakeEncoder, Task, Unit
from clipcache.errors import DeviceError, EncoderError, EngineError, ImageError
from clipcache.images.base import Source
from clipcache.images.folder import Folder
from tests.engines.deadly import Deadly
from tests.engines.living import lives
from tests.pictures import folder, hostile, tree
from tests.real_encoder import tiny

OPTIONS = EmbedOptions(batch_size=5, workers=2, chunk_rows=8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """61 images in eight chunks, six of them hostile."""
    root = folder(tmp_path_factory.mktemp("photos"), {"coat": 30, "hat": 25})
    hostile(root / "odd")
    return root


@pytest.fixture(scope="module")
def whole(photos: Path) -> dict[str, bytes]:
    """What one process alone makes of them."""
    cache = photos.with_name("whole")
    embed(Folder(photos), tiny(), cache, OPTIONS)
    return tree(cache)


def workers_of(pid: int) -> list[psutil.Process]:
    """Processes below one, but for those right below it, which help Python to make others."""
    process = psutil.Process(pid)
    helpers = [one for one in process.children() if "multiprocessing" in " ".join(one.cmdline())]
    return [one for one in process.children(recursive=True) if one not in helpers]


@pytest.fixture(autouse=True)
def _nobody_is_left() -> Iterator[None]:
    yield
    assert not workers_of(os.getpid())


def divide(
    source: Source, path: Path, count: int = 2, make: MakeEncoder = tiny, **options: object
) -> EmbedSummary:
    chosen = replace(OPTIONS, **options)  # type: ignore[arg-type]
    return embed(source, tiny(), path, chosen, engine=Processes(make, count))


def test_many_processes_leave_what_one_leaves(
    photos: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    told: list[tuple[int, int, int]] = []
    summary = embed(
        Folder(photos),
        tiny(),
        tmp_path / "c",
        OPTIONS,
        lambda *numbers: told.append(numbers),
        engine=Processes(tiny, 3),
    )
    assert tree(tmp_path / "c") == whole
    assert (summary.processed, summary.failed) == (61, 6)
    assert (told[0], told[-1]) == ((0, 0, 61), (61, 6, 61))
    assert divide(Folder(photos), tmp_path / "c").processed == 0


@dataclass(frozen=True)
class Writes(Folder):
    """Writes down what it finds in the environment."""

    said: Path = Path()

    def read(self, key: str) -> bytes:
        self.said.write_text(os.environ.get("CLIPCACHE_TEST", "nothing"))
        return super().read(key)


def test_processes_have_the_environment_of_their_maker_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that came after the first processes were unknown to all later ones."""
    few = folder(tmp_path / "photos", {"coat": 3})
    for number, said in enumerate(("first", "second", "nothing")):
        if said == "nothing":
            monkeypatch.delenv("CLIPCACHE_TEST")
        else:
            monkeypatch.setenv("CLIPCACHE_TEST", said)
        divide(Writes(few, said=tmp_path / "said"), tmp_path / f"c{number}", count=1)
        assert (tmp_path / "said").read_text() == said


def test_a_killed_process_costs_its_chunk_only(
    photos: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    fatal = frozenset({"003.png", "020.png"})  # of coats and of hats
    told: list[int] = []
    embed(
        Deadly(photos, fatal=fatal, diary=tmp_path),
        tiny(),
        tmp_path / "c",
        OPTIONS,
        lambda done, _failed, _total: told.append(done),
        engine=Processes(tiny, 2),
    )
    assert len(list(tmp_path.glob("*.png *"))) >= 2
    assert tree(tmp_path / "c") == whole
    assert told[-1] == 61, "what a dead process had done is not counted twice"


def test_a_chunk_that_kills_again_and_again_is_given_up_and_others_are_kept(
    photos: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    cache = tmp_path / "c"
    deadly = Deadly(photos, fatal=frozenset({"text.jpg"}), times=99, diary=tmp_path)
    with pytest.raises(EngineError, match=r"3 processes ended at chunk 7 \(exit code -9\)"):
        divide(deadly, cache, count=1)
    assert len(list(tmp_path.glob("text.jpg *"))) == DEATHS
    states = EmbeddingCache.open(cache).read("state")
    assert (states[:40] != State.PENDING).all()
    divide(Folder(photos), cache)
    assert tree(cache) == whole


def test_a_process_killed_while_nobody_listens_costs_its_chunks_only(
    photos: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    """Its last wish is read when it is dead, and the answer goes nowhere."""
    told: list[int] = []

    def tell(done: int, _failed: int, _total: int) -> None:
        if done and not any(told):
            time.sleep(1)  # by now it waits for its next chunk
            (worker,) = workers_of(os.getpid())
            worker.kill()
            psutil.wait_procs([worker], timeout=30)
        told.append(done)

    embed(Folder(photos), tiny(), tmp_path / "c", OPTIONS, tell, engine=Processes(tiny, 1))
    assert tree(tmp_path / "c") == whole
    assert told[-1] == 61


def fatal_end() -> OpenClip:
    Finalize(None, os._exit, (3,), exitpriority=0)
    return tiny()


def fatal_start() -> OpenClip:
    os._exit(4)


def test_a_process_that_dies_when_all_is_done_costs_nothing(
    photos: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    divide(Folder(photos), tmp_path / "c", make=fatal_end)
    assert tree(tmp_path / "c") == whole
    with pytest.raises(EngineError, match=r"ended before it had begun \(exit code 4\)"):
        divide(Folder(photos), tmp_path / "d", make=fatal_start)


def without_memory() -> OpenClip:
    def full(images: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    encoder = OpenClip.load(EncoderOptions("clipcache-tiny", device="cpu"))
    encoder.tower.body.forward = full  # type: ignore[method-assign]
    return encoder


def test_too_little_memory_of_a_gpu_is_a_line(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"batch of 5 images does not fit.*smaller --batch-size"):
        divide(Folder(photos), tmp_path / "c", make=without_memory)


def blind() -> OpenClip:
    raise EncoderError(f"it sees {os.environ['CUDA_VISIBLE_DEVICES']}")


def test_a_worker_sees_one_gpu_of_those_that_its_maker_sees(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [_mask_of(gpu, "") for gpu in (0, 3)] == ["0", "3"]
    assert [_mask_of(gpu, "2, 3") for gpu in (0, 1, 2)] == ["2", "3", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-5c1b/1/0,GPU-8932")
    engine = Processes(blind, 1, gpus=2)
    with pytest.raises(EncoderError, match=re.escape("it sees MIG-5c1b/1/0") + "$"):
        embed(Folder(photos), tiny(), tmp_path / "c", OPTIONS, engine=engine)


def test_a_strict_run_ends_at_the_first_image_that_cannot_be_used(
    photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=r"odd/.*\(--strict\)"):
        divide(Folder(photos), tmp_path / "c", strict=True)


def test_who_stops_listening_leaves_nobody_behind(photos: Path, tmp_path: Path) -> None:
    embed(Folder(photos), tiny(), tmp_path / "c", OPTIONS)
    cache = EmbeddingCache.open(tmp_path / "c")
    spans = [cache.span(chunk) for chunk in range(cache.chunks)]
    units = [Unit(chunk, np.arange(s.start, s.stop)) for chunk, s in enumerate(spans)]
    seen = Processes(tiny, 2).run(Task(cache.path, Folder(photos), 5, 1), units)
    assert isinstance(seen, Generator)
    assert next(seen).images
    assert workers_of(os.getpid())
    seen.close()


CHILD = """
import sys
from pathlib import Path
from clipcache.embed import EmbedOptions, embed
from clipcache.engines.processes import Processes
from clipcache.images.folder import Folder
from tests.real_encoder import tiny
if __name__ == "__main__":
    options = EmbedOptions(batch_size=5, workers=1, chunk_rows=8)
    def tell(done, failed, total):
        print(done, flush=True)
        if done >= 5:
            sys.stdin.read()  # until the end, which comes from outside
    photos, cache = map(Path, sys.argv[1:])
    embed(Folder(photos), tiny(), cache, options, tell, engine=Processes(tiny, 2))
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_nobody_goes_on_when_the_first_process_ends(
    photos: Path, whole: dict[str, bytes], tmp_path: Path, ending: signal.Signals
) -> None:
    (tmp_path / "main.py").write_text(CHILD)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py"), str(photos), str(tmp_path / "c")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as first:
        assert first.stdout is not None
        while int(first.stdout.readline()) < 5:
            pass
        workers = workers_of(first.pid)
        assert workers
        first.send_signal(ending)
    ends = time.monotonic() + 30
    while any(lives(worker.pid) for worker in workers):
        assert time.monotonic() < ends
        time.sleep(0.05)
    divide(Folder(photos), tmp_path / "c")
    assert tree(tmp_path / "c") == whole
