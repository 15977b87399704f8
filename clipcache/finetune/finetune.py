"""The image tower of a run's encoder, trained on the run's labels; and whether that was worth it.

run = Run.open(Path("my-run"))
summary = finetune(run, Path("photos"), Path("tuned.safetensors"), cache=Path("tuned.zarr"))
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Labels, Vectors
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.storage import storage_of
from clipcache.classifier.lesson import Lesson
from clipcache.classifier.taught import remember, rows_taught
from clipcache.dataset import Dataset
from clipcache.embed import EmbedOptions, EmbedSummary, embed
from clipcache.encoder_of import encoder_of
from clipcache.encoders.base import Encoder, Identity
from clipcache.encoders.openclip import OpenClip
from clipcache.encoders.options import load_encoder, options_of
from clipcache.errors import EncoderError, RunError
from clipcache.finetune.checkpoint import check_name, write_checkpoint
from clipcache.finetune.crops import Album
from clipcache.finetune.relisted import Relisted
from clipcache.finetune.tune import TuneOptions, Tuning, tune, usable
from clipcache.heads.base import FittedHead
from clipcache.images.roots import Place
from clipcache.metrics import top_k_accuracy
from clipcache.people import source_of
from clipcache.photos import Photos
from clipcache.predict.encoding import encode_all
from clipcache.run import Run
from clipcache.run_config import SAMPLE
from clipcache.text import DEFAULT_TEMPLATES
from clipcache.whitening import PoolSample

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much is done."""


@dataclass(frozen=True)
class FinetuneOptions:
    """How to fine-tune, and where the encoder is found and works."""

    tune: TuneOptions = field(default_factory=TuneOptions)
    pretrained: str | None = None
    """Where the weights are that the run's cache was made with, if not where it remembers."""
    device: str = "auto"
    encode_batch: int = 64
    """Images encoded at a time."""


@dataclass(frozen=True)
class Accuracy:
    """On images that nobody learned from, in [0, 1]."""

    top1: float
    top5: float


@dataclass(frozen=True)
class FinetuneSummary:
    """What was trained, and what it brought."""

    labels: int
    """Those that the network, or the choice of its end, has learned from."""
    skipped: int
    """Labelled images that could not be used."""
    reason: str
    """Why the first of these could not; "" without any."""
    classes: int
    model: str
    tuning: Tuning
    test: int
    """Images that the following was measured on."""
    before: Accuracy | None
    """The run's head on the vectors of its cache; None where there is nothing to measure on."""
    after: Accuracy | None
    """The same head, fitted to the same labels, on the new cache; None without one."""
    own: Accuracy | None
    """The head that was trained with the tower."""
    embedded: EmbedSummary | None
    seconds: dict[str, float]
    """Of each step."""


def finetune(
    run: Run,
    images: Place | None,
    out: Path,
    options: FinetuneOptions | None = None,
    *,
    cache: Place | None = None,
    progress: Progress = lambda what, done, total: None,
) -> FinetuneSummary:
    """Write a checkpoint that `clipcache embed --pretrained` takes, whole or not at all.

    Parameters
    ----------
    images : where the run's images are, as for `embed`; None for where they were last.
    out : a .safetensors file with the whole model, a new one.
    cache : where the run's images are embedded anew, with what people said of them; a new one.

    Raises RunError where `out` or `cache` is there already, where there are no labels, of a single
    class only, or none of their images can be used, EncoderError where the encoder cannot be had or
    trained, DeviceError where a GPU has too little memory, and as `embed` does.
    """
    options = options or FinetuneOptions()
    check_name(out)
    if cache:
        check_new(cache)
    clock = _Clock()
    with clock("load"):
        lesson = Lesson.of(run)
        source = source_of(run, images)
        encoder = trainable(run, options)
    with clock("read"):
        album = Album(Photos(source, run.cache.keys().tolist()), encoder.identity.image_size)
        lesson, skipped, reason = seen(lesson, album, options.tune.workers)
    with clock("train"):
        tuned = tune(
            encoder, lesson, album, options.tune, lambda done, of: progress("steps", done, of)
        )
    with clock("write"):
        write_checkpoint(out, encoder.model)
        # What was written is what is used from here on, so that it is known to be readable.
        encoder = reopened(out, run.cache.identity, options.device)
    relisted, embedded = Relisted.of(run, source), None
    rows, labels = run.measured()
    with clock("embed"):
        if cache:
            embedded = embed_again(run.cache, relisted, encoder, cache, options, progress)
            same = encoder.identity == run.cache.identity  # held-back labels may undo all training
            taught = lesson.rows[:0] if same else lesson.rows
            remember(cache, np.union1d(rows_taught(run.cache), taught))
            data = embedded_data(run, cache)
            fine = np.isin(rows, np.union1d(data.pool, data.test))
            test = data.features[rows[fine]].astype(np.float32)
        else:
            fine, test = _encode(relisted.only(rows), encoder, options)
        rows, labels = rows[fine], labels[fine]
    with clock("fit"):
        before = _accuracy(lesson.fit(), run.data.features[rows].astype(np.float32), labels)
        own = _accuracy(tuned.head, test, labels)
        after = _accuracy(relearned(lesson, data, run).fit(), test, labels) if cache else None
    return FinetuneSummary(
        labels=len(lesson.rows),
        skipped=skipped,
        reason=reason,
        classes=len(lesson.names),
        model=encoder.identity.model,
        tuning=tuned.tuning,
        test=len(rows),
        before=before,
        after=after,
        own=own,
        embedded=embedded,
        seconds=clock.seconds,
    )


def check_new(cache: Place) -> None:
    """Raise RunError where something is there already: vectors of another encoder cannot join it.

    Also where that is a new cache that was cut off, since nobody knows the weights before training.
    """
    if cache.exists() if isinstance(cache, Path) else storage_of(cache).begun():
        raise RunError(
            f"{cache} is there already, and the vectors of a newly trained encoder need a cache of "
            "their own; name another --cache"
        )


def trainable(run: Run, options: FinetuneOptions) -> OpenClip:
    """Return the encoder of a run's cache, in float32.

    Raises EncoderError where it cannot be had or trained.
    """
    encoder = encoder_of(
        run.cache.identity, options.pretrained, device=options.device, precision="float32"
    )
    return _open_clip(encoder)


def _open_clip(encoder: Encoder) -> OpenClip:
    if not isinstance(encoder, OpenClip):
        raise EncoderError(
            f"{encoder.identity.model} of {encoder.identity.library} cannot be fine-tuned, only "
            "models of open_clip; embed the images with one of these"
        )
    return encoder


def reopened(checkpoint: Path, identity: Identity, device: str) -> OpenClip:
    """Return the encoder of a checkpoint, which does all else as the one of `identity` does."""
    options = options_of(identity)
    assert options is not None  # it has been loaded before
    # What a lower precision costs was measured of the old weights.
    options = replace(options, pretrained=str(checkpoint), device=device, checked="")
    return _open_clip(load_encoder(options))


def seen(lesson: Lesson, album: Album, workers: int) -> tuple[Lesson, int, str]:
    """Return the labels whose images can be used, how many others there are, and one reason.

    Raises RunError where none can be.
    """
    places, reason = usable(album, lesson.rows, workers)
    if not len(places):
        raise RunError(
            f"none of the {len(lesson.rows)} labelled images can be used, the first: {reason}; does"
            " --images lead to where they lie?"
        )
    skipped = len(lesson.rows) - len(places)
    rows, x, y = lesson.rows[places], lesson.x[places], lesson.y[places]
    return replace(lesson, rows=rows, x=x, y=y), skipped, reason


def embed_again(
    cache: EmbeddingCache,
    source: Relisted,
    encoder: OpenClip,
    path: Place,
    options: FinetuneOptions,
    progress: Progress,
) -> EmbedSummary:
    """Bring the new cache up to date, with the prompts of the one that was there."""
    text = cache.text()
    how = EmbedOptions(
        templates=text.templates if text else DEFAULT_TEMPLATES,
        batch_size=options.encode_batch,
        workers=options.tune.workers,
    )

    def report(done: int, failed: int, total: int) -> None:
        progress("images", done, total)

    return embed(source, encoder, path, how, report)


def embedded_data(run: Run, path: Place) -> Dataset:
    """Return the images of a run as a new cache has them, in the same rows.

    Raises RunError where it has others there.
    """
    cache = EmbeddingCache.open(path)
    data = Dataset.load(cache, run.data.n)
    old, new = (keys[: data.n] for keys in (run.cache.keys(), cache.keys()))
    if len(wrong := np.flatnonzero(old != new)):
        row = wrong[0]
        raise RunError(
            f"row {row} of {path} is {new[row]}, but that of the run is {old[row]}: expected the "
            "same images in the same rows; delete that cache, and do this again"
        )
    return data


def _encode(
    source: Relisted, encoder: OpenClip, options: FinetuneOptions
) -> tuple[npt.NDArray[np.bool_], Vectors]:
    """Return which images of a source can be used, and the vectors of these."""
    size, workers = options.encode_batch, options.tune.workers
    fine: list[bool] = []
    vectors = [np.empty((0, encoder.identity.dim), dtype=np.float32)]
    for part in encode_all(source, encoder, batch_size=size, workers=workers):
        fine += [not reason for reason in part.reasons]
        vectors.append(part.vectors)
    return np.array(fine, dtype=np.bool_), np.concatenate(vectors)


def relearned(lesson: Lesson, data: Dataset, run: Run) -> Lesson:
    """Return the same labels and the same recipe on other vectors of the same images.

    Words have the vectors that they had: the text tower is the same.
    """
    rng = run.config.rng(SAMPLE, 0)
    return replace(
        lesson,
        x=data.features[lesson.rows].astype(np.float32),
        pool=PoolSample.draw(data.features, data.pool, len(lesson.names), rng=rng),
    )


def _accuracy(head: FittedHead, x: Vectors, labels: Labels) -> Accuracy | None:
    if not len(labels):
        return None
    logits = head.logits(x)
    return Accuracy(*(top_k_accuracy(logits, labels, k) for k in (1, 5)))


class _Clock:
    """Counts the seconds of steps by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Count until the end of the block."""
        began = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - began
