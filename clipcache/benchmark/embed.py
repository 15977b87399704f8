"""How many images a second this machine embeds, beside what nobody can beat and what others do.

Everybody has a process of their own and takes turns, so that a noisy machine is noisy for all.
Times are medians over the turns, ratios medians of what each turn gave.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path

from clipcache.benchmark import embed_parts
from clipcache.benchmark.clip_inference import BATCH, clip_inference, is_installed
from clipcache.benchmark.clip_inference import NAME as CLIP_RETRIEVAL
from clipcache.benchmark.decoding import Decoding, compare_decoding
from clipcache.benchmark.embed_parts import Job, Lap, Memory, files_of
from clipcache.benchmark.own_process import OwnProcess
from clipcache.benchmark.photo_folder import SMALL, draw, find, lay_out
from clipcache.benchmark.plain_loop import BATCHES, plain_loop
from clipcache.cache.layout import CHUNK_ROWS
from clipcache.encoders.options import EncoderOptions
from clipcache.errors import ClipcacheError
from clipcache.threads import available_threads
from clipcache.tiny import NAME as TINY

END_TO_END, ENCODER, WRITING = "end to end", "encoder alone", "writing alone"
DECODING, ONE_CORE = "decoding alone", "decoding alone, one core"
PROCESSES, AGAIN = "end to end, --engine processes", "second run, nothing new"
PLAIN = tuple(f"plain loop, batches of {size}" for size in BATCHES)
THEIRS = f"{CLIP_RETRIEVAL}, batches of {BATCH}"

SECONDS = 12.0
"""About how long one pass takes at least, where nobody says how many images."""
TURNS, LONG_ENOUGH = 5, 180.0
"""Turns at most, and after how many seconds none is begun."""
CHUNKS = 2
"""Into how many the images are cut for each processor: processes divide chunks among themselves."""
BATCHES_EACH = 4
"""Batches that each lane encodes at least, so that its first and last ones do not count much; of
others, batches that each process decodes, for nothing is encoded while they do their first."""
DISTINCT = 2048
"""Images that are taken from a folder unless more are asked for."""
COMPARED = 200
"""Images that are decoded both ways."""
MEMORY_SIZES = (2_000, 20_000)
"""How many small images are embedded to see whether memory grows."""

Say = Callable[[str], None]
Task = Callable[[], Lap]


@dataclass(frozen=True)
class EmbedBench:
    """What to measure; the fields are options of the command."""

    encoder: EncoderOptions
    images: int | None = None
    """None: as many as take some seconds."""
    source: Path | None = None
    """A folder of images; None: drawn ones."""
    batch_size: int = 64
    workers: int = 2


@dataclass(frozen=True)
class Speed:
    """How fast one thing was."""

    name: str
    images: int
    seconds: float
    """Median; of every turn below."""
    rate: float
    """Images a second."""
    peak_mb: float
    """The largest memory of its process in any turn, libraries and model included; 0: not
    measured."""
    turns: tuple[float, ...]


@dataclass(frozen=True)
class EmbedReport:
    """All that was measured."""

    encoder: str
    device: str
    images: int
    distinct: int
    """Different files among these; whatever was read once is in the system's memory."""
    batch_size: int
    workers: int
    chunk_rows: int
    speeds: tuple[Speed, ...]
    ratios: dict[str, float]
    identical: bool
    """Whether `--engine processes` wrote the same bytes."""
    encoded_again: int
    """Images that the second run encoded."""
    decoding: Decoding | None
    memory: tuple[Memory, ...]
    absent: dict[str, str]
    """Who could not be measured, and why."""


def bench_embed(asked: EmbedBench, say: Say = lambda line: None) -> EmbedReport:
    """Measure it all, in temporary files; `say` hears what is being done.

    Raises ClipcacheError where the encoder cannot be had, or the source has no images.
    """
    with tempfile.TemporaryDirectory(prefix="clipcache-bench-") as name, ExitStack() as stack:
        place = Path(name)
        ours, plain = (stack.enter_context(OwnProcess()) for _ in range(2))
        say("loading the encoder")
        files = _files(asked, place / "drawn")
        few = _job(asked, lay_out(place / "few", files, asked.batch_size), asked.batch_size)
        identity, lanes, on_gpu = ours(embed_parts.load, few)
        ours(embed_parts.encoding, few, lanes)  # the first time is a slow one
        alone = ours(embed_parts.encoding, few, 2 * lanes)
        count = asked.images or _choose(ours, few, alone.rate, lanes, on_gpu=on_gpu)
        job = _job(asked, lay_out(place / "images", files, count), count)
        theirs = stack.enter_context(OwnProcess()) if is_installed() else None
        others, left_out = _their_tasks(plain, theirs, job, count, place)
        laps, absent = take_turns(_our_tasks(ours, job, count, place) | others, say)
        absent |= left_out
        peaks = [alone.peak_mb, *(lap.peak_mb for lap in laps[END_TO_END])]
        say("decoding both ways")
        decoding = None
        try:
            decoding = ours(compare_decoding, job, min(count, COMPARED))
        except ClipcacheError as error:
            absent["--fast-decode"] = str(error)
        return EmbedReport(
            encoder=identity,
            device="cuda" if on_gpu else "cpu",
            images=count,
            distinct=min(len(files), count),
            batch_size=job.batch_size,
            workers=job.workers,
            chunk_rows=job.chunk_rows,
            speeds=tuple(_speed(name, turns) for name, turns in laps.items()),
            ratios=ratios(laps, on_gpu=on_gpu),
            identical=same_files(_cache(place, END_TO_END), _cache(place, PROCESSES)),
            encoded_again=sum(lap.encoded for lap in laps[AGAIN]),
            decoding=decoding,
            memory=(
                Memory(f"{asked.encoder.model}, {count:,} images", alone.peak_mb, max(peaks)),
                *_memory(asked, place, say),
            ),
            absent=absent,
        )


def take_turns(tasks: dict[str, Task], say: Say) -> tuple[dict[str, list[Lap]], dict[str, str]]:
    """Return the laps of each task, and why there are none where it failed."""
    laps: dict[str, list[Lap]] = {name: [] for name in tasks}
    absent: dict[str, str] = {}
    began = time.perf_counter()
    for turn in range(TURNS):
        if turn and time.perf_counter() - began > LONG_ENOUGH:
            break
        for name in list(laps):
            say(f"turn {turn + 1}: {name}")
            try:
                laps[name].append(tasks[name]())
            except ClipcacheError as error:
                if name not in (*PLAIN, THEIRS):
                    raise
                absent[name] = str(error)
                del laps[name]
    return laps, absent


def ratios(laps: dict[str, list[Lap]], *, on_gpu: bool) -> dict[str, float]:
    """Return the median over the turns of what is compared with what."""
    ours, encoder, decoding = (
        [lap.rate for lap in laps[name]] for name in (END_TO_END, ENCODER, DECODING)
    )
    slower = [min(pair) for pair in zip(encoder, decoding, strict=True)]
    found = {"end to end / the slower of encoder and decoding": _median_ratio(ours, slower)}
    if not on_gpu:  # both need the same processors
        shared = [1 / (1 / e + 1 / d) for e, d in zip(encoder, decoding, strict=True)]
        found["end to end / encoder and decoding one after the other"] = _median_ratio(ours, shared)
    for name in (*PLAIN, THEIRS):
        if name in laps:
            found[f"{END_TO_END} / {name}"] = _median_ratio(ours, [lap.rate for lap in laps[name]])
    many = laps[PROCESSES]
    found[f"{PROCESSES} / {END_TO_END}"] = _median_ratio([lap.rate for lap in many], ours)
    one_by_one, side_by_side = ([lap.steady_rate for lap in ls] for ls in (laps[END_TO_END], many))
    if all(one_by_one):  # not so where there was but one batch
        found["the same, from the first batch on"] = _median_ratio(side_by_side, one_by_one)
    return found


def same_files(one: Path, other: Path) -> bool:
    """Return whether two caches hold the same bytes, in files of the same names."""
    return all(a == b for a, b in zip_longest(files_of(one), files_of(other)))


def _median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def _speed(name: str, laps: Sequence[Lap]) -> Speed:
    seconds = statistics.median(lap.seconds for lap in laps)
    return Speed(
        name=name,
        images=laps[0].images,
        seconds=seconds,
        rate=statistics.median(lap.rate for lap in laps),
        peak_mb=max(lap.peak_mb for lap in laps),
        turns=tuple(lap.seconds for lap in laps),
    )


def _files(asked: EmbedBench, drawn: Path) -> list[Path]:
    return find(asked.source, asked.images or DISTINCT) if asked.source else draw(drawn)


def _job(asked: EmbedBench, images: Path, count: int) -> Job:
    """Return the job of embedding so many images, in chunks of whole batches."""
    batches = max(1, count // (CHUNKS * available_threads()) // asked.batch_size)
    rows = min(CHUNK_ROWS, batches * asked.batch_size)
    return Job(asked.encoder, images, asked.batch_size, asked.workers, rows)


def _choose(ours: OwnProcess, few: Job, encoding: float, lanes: int, *, on_gpu: bool) -> int:
    """Return how many images take about `SECONDS`: a power of two times what is encoded at once."""
    decoding = ours(embed_parts.decoding, few, few.workers).rate
    rate = min(encoding, decoding) if on_gpu else 1 / (1 / encoding + 1 / decoding)
    count = max(few.batch_size * lanes * BATCHES_EACH, _fewest(few, BATCHES[0]))
    while 2 * count <= rate * SECONDS:
        count *= 2
    return count


def _fewest(job: Job, size: int) -> int:
    """Return how many images in batches of a size keep decoding and encoding busy together."""
    return BATCHES_EACH * job.workers * size


def _our_tasks(ours: OwnProcess, job: Job, count: int, place: Path) -> dict[str, Task]:
    """Return what is measured of clipcache, in an order in which each finds what it needs."""
    batches = -(-count // job.batch_size)

    def anew(name: str) -> Path:
        shutil.rmtree(_cache(place, name), ignore_errors=True)
        return _cache(place, name)

    full = _cache(place, END_TO_END)
    return {
        END_TO_END: lambda: ours(embed_parts.end_to_end, job, anew(END_TO_END)),
        AGAIN: lambda: ours(embed_parts.end_to_end, job, full),
        ENCODER: lambda: ours(embed_parts.encoding, job, batches),
        DECODING: lambda: ours(embed_parts.decoding, job, job.workers),
        ONE_CORE: lambda: ours(embed_parts.decoding, job, 1, -(-count // available_threads())),
        WRITING: lambda: ours(embed_parts.writing, job, full, anew(WRITING)),
        PROCESSES: lambda: ours(embed_parts.end_to_end, job, anew(PROCESSES), "processes"),
    }


def _their_tasks(
    plain: OwnProcess, theirs: OwnProcess | None, job: Job, count: int, place: Path
) -> tuple[dict[str, Task], dict[str, str]]:
    """Return what others do, and why somebody is left out, as where there are too few images."""
    batches = dict(zip(PLAIN, BATCHES, strict=True))
    tasks: dict[str, Task] = {
        name: partial(plain, plain_loop, job, size) for name, size in batches.items()
    }
    left_out = {}
    if theirs:
        batches[THEIRS] = BATCH
        tasks[THEIRS] = partial(theirs, clip_inference, job, place / "theirs")
    else:
        left_out[CLIP_RETRIEVAL] = "not installed (pip install clip-retrieval)"
    for name, size in batches.items():
        if count < _fewest(job, size):
            left_out[name] = f"{count:,} images are too few; give --images {_fewest(job, size)}"
            del tasks[name]
    return tasks, left_out


def _cache(place: Path, name: str) -> Path:
    return place / f"{name}.zarr"


def _memory(asked: EmbedBench, place: Path, say: Say) -> Iterator[Memory]:
    """Embed small images with the small model, which is soon done: numbers are what matters."""
    files = draw(place / "small drawn", SMALL)
    encoder = EncoderOptions(TINY, device="cpu")
    for count in MEMORY_SIZES:
        say(f"the memory that {count:,} small images need")
        images = lay_out(place / f"small {count}", files, count)
        job = Job(encoder, images, asked.batch_size, asked.workers, CHUNK_ROWS)
        with OwnProcess() as alone:
            yield alone(embed_parts.memory, job, place / f"small {count}.zarr")
