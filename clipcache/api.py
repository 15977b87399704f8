"""What the commands do, for programs: paths and options in, results out.

Each function takes the options of the command that it is named after, and raises `ClipcacheError`
where that would print one line. The parts below (`Run`, `EmbeddingCache`, `search` ...) are there
for whoever wants more.

>>> from tempfile import mkdtemp
>>> from clipcache import api
>>> from clipcache.demo import CLASSES, draw_class
>>> folder = Path(mkdtemp())
>>> for index, name in enumerate(CLASSES[:8]):
...     draw_class(folder / "photos" / name, index, 12, seed=2)
>>> photos, cache, run = folder / "photos", folder / "photos.zarr", folder / "run"
>>> api.embed(photos, cache, "clipcache-tiny", split="random:0.4").images
96
>>> [closed.labels for closed in api.loop(cache, run, batch=5, rounds=2)]
[8, 13, 18]
>>> done = api.predict(run, photos, folder / "answers.csv", at_least=0.5)
>>> done.images == done.answered + done.unsure
True
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clipcache.cache.reader import EmbeddingCache
from clipcache.embed import EmbedOptions, EmbedSummary
from clipcache.embed import embed as embed_source
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.export.base import ExportOptions, export_as
from clipcache.images.source import SourceOptions, open_source
from clipcache.labels import Round
from clipcache.loop import replay
from clipcache.people import open_run as open_people_run
from clipcache.predict.predict import PredictOptions, PredictSummary
from clipcache.predict.predict import predict as predict_images
from clipcache.review import Doubt
from clipcache.review import review as review_labels
from clipcache.run import Run
from clipcache.run_config import RunConfig
from clipcache.search import Found, find

__all__ = ["embed", "export", "loop", "open_run", "predict", "review", "search"]

AnyPath = str | Path


def embed(
    source: AnyPath,
    cache: AnyPath,
    model: str = "ViT-B-32",
    pretrained: str | None = None,
    *,
    device: str = "auto",
    options: EmbedOptions | None = None,
    **source_options: Any,
) -> EmbedSummary:
    """Encode the images of a folder or table once, into a cache.

    `source_options` are fields of `SourceOptions`, such as `split="random:0.2"`.
    """
    images = open_source(Path(source), SourceOptions(**source_options))
    encoder = load_encoder(EncoderOptions(model, pretrained, device))
    return embed_source(images, encoder, Path(cache), options or EmbedOptions())


def loop(cache: AnyPath, run: AnyPath, *, device: str = "cpu", **options: Any) -> list[Round]:
    """Replay active learning on a cache with its own labels, and return what each round measured.

    `options` are fields of `RunConfig`, such as `strategy="margin"`.
    """
    opened = EmbeddingCache.open(Path(cache))
    return replay(Run.begin(Path(run), RunConfig(**options), opened, device=device))


def open_run(
    run: AnyPath, cache: AnyPath | None = None, names: Sequence[str] = (), **options: Any
) -> Run:
    """Return a run in which people answer, begun on a cache where it is new.

    `names` are classes beside those of the cache, `options` fields of `RunConfig`. `run.propose()`
    asks, `run.record(...)` answers; `clipcache label` serves the same run as a page.
    """
    return open_people_run(Path(run), Path(cache) if cache else None, names, **options)


def predict(
    run: AnyPath, images: AnyPath, out: AnyPath, at_least: float = 0.0, **options: Any
) -> PredictSummary:
    """Write the likeliest classes of images, or of a cache, to a .csv or .parquet file.

    `options` are fields of `PredictOptions`.
    """
    chosen = PredictOptions(at_least=at_least, **options)
    return predict_images(Run.open(Path(run)), Path(images), Path(out), chosen)


def export(run: AnyPath, form: str, out: AnyPath, **options: Any) -> str:
    """Write labels ("csv", "json", "label_studio", "coco") or the classifier ("head", "onnx").

    `options` are fields of `ExportOptions`. Returns what was written, in words.
    """
    return export_as(form, Run.open(Path(run)), Path(out), ExportOptions(**options))


def review(run: AnyPath, top: int | None = None) -> list[Doubt]:
    """Return labels that deserve a second look, the most doubtful first."""
    return review_labels(Run.open(Path(run)), top)


def search(
    cache: AnyPath,
    words: str | None = None,
    *,
    photos: Sequence[AnyPath] = (),
    rows: Sequence[int] = (),
    top: int = 20,
    pretrained: str | None = None,
    device: str = "auto",
) -> list[Found]:
    """Return the images of a cache that are nearest to words, photos, or images that it has."""
    opened, files = EmbeddingCache.open(Path(cache)), [Path(photo) for photo in photos]
    return find(
        opened, words, photos=files, like=rows, top=top, pretrained=pretrained, device=device
    )
