"""What the commands do, for programs: paths (or URLs) and options in, results out.

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
>>> tuned = api.finetune(run, photos, folder / "tuned.safetensors", tune="blocks:1", epochs=1)
>>> tuned.labels, tuned.tuning.tune
(18, 'blocks:1')
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from clipcache.cache.locks import Share
from clipcache.cache.reader import EmbeddingCache
from clipcache.embed import EmbedOptions, EmbedSummary
from clipcache.embed import embed as embed_source
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.engines.choose import make_engine
from clipcache.errors import EngineError
from clipcache.export.base import ExportOptions, export_as
from clipcache.finetune.finetune import FinetuneOptions, FinetuneSummary
from clipcache.finetune.finetune import finetune as finetune_encoder
from clipcache.finetune.kept import Mode, refuse_tuned
from clipcache.finetune.rounds import TunedRun
from clipcache.finetune.tower import Tune
from clipcache.finetune.tune import TuneOptions
from clipcache.images.roots import place_of
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

__all__ = ["embed", "export", "finetune", "loop", "open_run", "predict", "review", "search"]

AnyPath = str | Path


def embed(
    source: AnyPath,
    cache: AnyPath,
    model: str = "ViT-B-32",
    pretrained: str | None = None,
    *,
    device: str = "auto",
    precision: str = "float32",
    fast_decode: bool = False,
    compile: bool = False,
    engine: str = "inline",
    processes: int | None = None,
    shard: str | None = None,
    options: EmbedOptions | None = None,
    **source_options: Any,
) -> EmbedSummary:
    """Encode the images of a source once, into a cache: a folder, a file of images, a URL, ...

    `precision` to `compile` are fields of `EncoderOptions`, `source_options` of `SourceOptions`,
    such as `split="random:0.2"`. With the engine "processes", a script does this below
    `if __name__ == "__main__":`, for the processes import it.
    """
    images = open_source(source, SourceOptions(**source_options))
    asked = EncoderOptions(model, pretrained, device, precision, fast_decode, compile)
    encoder = load_encoder(asked)
    how = options or EmbedOptions(keep_held_out="split" not in source_options)
    if shard:
        how = replace(how, share=Share.parse(shard))
    chosen = make_engine(engine, asked.settled(encoder.identity), processes)
    return embed_source(images, encoder, place_of(cache), how, engine=chosen)


def finetune(
    run: AnyPath,
    images: AnyPath | None,
    out: AnyPath,
    *,
    cache: AnyPath | None = None,
    tune: str = "all",
    pretrained: str | None = None,
    device: str = "auto",
    **options: Any,
) -> FinetuneSummary:
    """Train the image tower of a run's encoder on its labels, and write it to a .safetensors file.

    `images` is where those of the run are, None for where they were last. With `cache`, all of them
    are embedded anew into it; neither `out` nor `cache` may be there before. `tune` is "all",
    "blocks:N" or "lora:R", `options` are the other fields of `TuneOptions`, such as `epochs=5`.
    """
    how = FinetuneOptions(TuneOptions(Tune.parse(tune), **options), pretrained, device)
    again = place_of(cache) if cache else None
    return finetune_encoder(Run.open(Path(run)), images, Path(out), how, cache=again)


def loop(
    cache: AnyPath,
    run: AnyPath,
    *,
    finetune: Mode | None = None,
    images: AnyPath | None = None,
    tune: str = "all",
    pretrained: str | None = None,
    device: str = "cpu",
    engine: str = "inline",
    **options: Any,
) -> list[Round]:
    """Replay active learning on a cache with its own labels, and return what each round measured.

    `options` are fields of `RunConfig`, such as `strategy="margin"`. With the engine "ray", the
    workers of a Ray cluster score the pool. With `finetune`, "fresh" or "continue", the encoder
    learns in each round, too, from `images`, as `tune` and `pretrained` say to `finetune`; then the
    pool is scored here.
    """
    if finetune and engine != "inline":
        raise EngineError("to fine-tune embeds the pool anew in each round: leave out the engine")
    folder, config, opened = Path(run), RunConfig(**options), EmbeddingCache.open(place_of(cache))
    if finetune:
        how = FinetuneOptions(TuneOptions(Tune.parse(tune)), pretrained)
        tuned = TunedRun.begin_tuned(folder, config, opened, finetune, images, how, device=device)
        return replay(tuned)
    refuse_tuned(folder)
    return replay(Run.begin(folder, config, opened, device=device, engine=engine))


def open_run(
    run: AnyPath, cache: AnyPath | None = None, names: Sequence[str] = (), **options: Any
) -> Run:
    """Return a run in which people answer, begun on a cache where it is new.

    `names` are classes beside those of the cache, `options` fields of `RunConfig`, and `device` or
    `engine` as for `loop`. `run.propose()` asks, `run.record(...)` answers; `clipcache label`
    serves the same run as a page.
    """
    return open_people_run(Path(run), place_of(cache) if cache else None, names, **options)


def predict(
    run: AnyPath, images: AnyPath, out: AnyPath, at_least: float = 0.0, **options: Any
) -> PredictSummary:
    """Write the likeliest classes of images, or of a cache, to a .csv or .parquet file.

    `options` are fields of `PredictOptions`. Of a run that fine-tunes its encoder, that of its
    cache answers.
    """
    chosen = PredictOptions(at_least=at_least, **options)
    return predict_images(Run.open(Path(run)), place_of(images), Path(out), chosen)


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
    opened, files = EmbeddingCache.open(place_of(cache)), [Path(photo) for photo in photos]
    return find(
        opened, words, photos=files, like=rows, top=top, pretrained=pretrained, device=device
    )
