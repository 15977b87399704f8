"""Classes of images that nobody has labelled, with probabilities that can be relied upon.

run = Run.open(Path("my-run"))
summary = predict(run, Path("new-photos"), Path("predictions.csv"), PredictOptions(at_least=0.9))
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clipcache import scoring
from clipcache.arrays import RowIds
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.storage import storage_of
from clipcache.classifier.classifier import Calibration, Classifier
from clipcache.dataset import Dataset
from clipcache.encoder_of import encoder_of
from clipcache.errors import CacheIdentityError, RunError
from clipcache.features import Rows
from clipcache.images.roots import Place
from clipcache.images.source import SourceOptions, open_source
from clipcache.predict.encoding import encode_all
from clipcache.predict.file import SHOWN, Prediction, check_name, write_predictions
from clipcache.run import Run

BLOCK = 8192
"""Rows of a cache that are looked at together."""


@dataclass(frozen=True)
class PredictOptions:
    """How to predict; the options of `clipcache predict` with the same names."""

    at_least: float = 0.0
    """Give no answer where the likeliest class is less likely than this."""
    source: SourceOptions = field(default_factory=SourceOptions)
    pretrained: str | None = None
    device: str = "auto"
    batch_size: int = 64
    workers: int = 2


@dataclass(frozen=True)
class PredictSummary:
    """What was predicted."""

    images: int
    answered: int
    unsure: int
    """Images without an answer because no class was likely enough."""
    failed: int
    """Images that could not be used."""
    expected_accuracy: float | None
    """Of the answers, in [0, 1]: their mean probability. None without any, or uncalibrated."""
    learned_from: int
    """How many labels the head has learned from."""
    calibration: Calibration


class Block(NamedTuple):
    """Some images in their order."""

    keys: Sequence[str]
    reasons: Sequence[str]
    """Why an image cannot be used; "" where it can."""
    features: Rows
    rows: RowIds
    """The rows of `features` that belong to those that can."""


def predict(
    run: Run,
    images: Place,
    out: Path,
    options: PredictOptions | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> PredictSummary:
    """Write a line for every image to a .csv or .parquet file, whole or not at all.

    The head is fitted on all labels that the run has now, whether or not its round is complete.

    Parameters
    ----------
    images : a folder or a table of images, as for `embed`, or a cache of the same encoder.
    progress : called with the number of images that are done.

    Raises RunError where there is no label yet, and with `at_least` where none says how sure to be;
    CacheIdentityError and EncoderError as `encoder_of` does, SourceError where there are no images
    or the file has another name.
    """
    options = options or PredictOptions()
    if not 0 <= options.at_least <= 1:
        raise RunError(f"--at-least {options.at_least} is no probability: expected 0 to 1")
    check_name(out)
    is_cache = storage_of(images).begun()
    blocks = _cached(_opened(run, images)) if is_cache else _encoded(run, images, options)
    classifier, tally = Classifier.of(run), _Tally(progress)
    calibrated = classifier.calibration.labels > 0
    if options.at_least and not calibrated:
        raise RunError(
            "nothing says how sure to be: no label is held out, and no class has two; leave out "
            "--at-least, or label more images"
        )
    write_predictions(out, (tally.add(_say(classifier, b, options.at_least)) for b in blocks))
    return PredictSummary(
        images=tally.images,
        answered=tally.answered,
        unsure=tally.images - tally.answered - tally.failed,
        failed=tally.failed,
        expected_accuracy=tally.expected_accuracy if calibrated else None,
        learned_from=classifier.labels,
        calibration=classifier.calibration,
    )


def _opened(run: Run, path: Place) -> EmbeddingCache:
    cache = EmbeddingCache.open(path)
    if cache.identity != run.cache.identity:
        raise CacheIdentityError(
            f"{path} was made by {cache.identity}, but {run.folder} learned from vectors of "
            f"{run.cache.identity}; give a cache of that encoder, or the images themselves"
        )
    return cache


def _cached(cache: EmbeddingCache) -> Iterator[Block]:
    """Yield all images of a cache, in the order of its rows."""
    data = Dataset.load(cache)
    keys, reasons = cache.keys(), cache.read("reason")
    usable = np.zeros(data.n, dtype=np.bool_)
    usable[data.pool] = usable[data.test] = True
    for start in range(0, data.n, BLOCK):
        part = slice(start, start + BLOCK)
        rows = start + np.flatnonzero(usable[part])
        yield Block(keys[part].tolist(), reasons[part].tolist(), data.features, rows)


def _encoded(run: Run, path: Place, options: PredictOptions) -> Iterator[Block]:
    """Return images that are encoded as they are asked for; they go into no cache."""
    source = open_source(path, options.source)
    encoder = encoder_of(run.cache.identity, options.pretrained, device=options.device)
    images = encode_all(source, encoder, batch_size=options.batch_size, workers=options.workers)
    return (Block(i.keys, i.reasons, i.vectors, np.arange(len(i.vectors))) for i in images)


def _say(classifier: Classifier, block: Block, at_least: float) -> list[Prediction]:
    """Return what a classifier makes of some images."""
    names = classifier.names
    head, shown = classifier.calibrated, min(SHOWN, len(names))
    found = scoring.shortlist(block.features, block.rows, head, shown)
    classes, probs = (iter(array.tolist()) for array in found)

    def answer(key: str) -> Prediction:
        named = tuple(names[place] for place in next(classes))
        likely = tuple(next(probs))
        if likely[0] >= at_least:
            return Prediction(key, named, likely, named[0], "")
        return Prediction(key, named, likely, "", f"unsure: less than {at_least:g}")

    return [
        Prediction(key, (), (), "", reason) if reason else answer(key)
        for key, reason in zip(block.keys, block.reasons, strict=True)
    ]


class _Tally:
    """Counts predictions on their way to the file."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self.images = self.answered = self.failed = 0
        self.sure = 0.0
        self._progress = progress

    @property
    def expected_accuracy(self) -> float | None:
        """The mean probability of the answers, None without any."""
        return min(self.sure / self.answered, 1.0) if self.answered else None

    def add(self, batch: list[Prediction]) -> list[Prediction]:
        """Count some, and return them."""
        answered = [prediction for prediction in batch if prediction.answer]
        self.images += len(batch)
        self.answered += len(answered)
        self.failed += sum(not prediction.classes for prediction in batch)
        self.sure += sum(prediction.probabilities[0] for prediction in answered)
        self._progress(self.images)
        return batch
