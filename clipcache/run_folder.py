"""The folder of a run: its frozen configuration and its label store. Nothing else is state.

```
RUN/run.json             configuration, class names, and which cache it belongs to
RUN/labels.sqlite        batches, labels, measurements
RUN/heads/NNN.safetensors   the head that was fitted when round NNN was complete
```
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from clipcache import registry, stopping
from clipcache.cache.reader import EmbeddingCache
from clipcache.dataset import Dataset
from clipcache.durable import write_file
from clipcache.errors import RunError
from clipcache.heads.base import Head, names_known
from clipcache.images.roots import Place
from clipcache.roles import roles
from clipcache.run_config import RunConfig
from clipcache.starts import start_size

FORMAT = 3
AGAIN = "run `clipcache embed` or `clipcache import` again"


def begin(
    folder: Path, config: RunConfig, cache: EmbeddingCache, names: Sequence[str] = ()
) -> Dataset:
    """Load the data of a run, making its folder where it is new.

    `names` are classes to know beside those of the cache; in a folder that is there they make no
    difference. Raises RunError where the folder holds a run of another cache or with another
    configuration.
    """
    if not (folder / "run.json").exists():
        return _create(folder, config, cache, names)
    stored = read(folder)
    differences = RunConfig(**stored["config"]).differences(config)
    if differences:
        raise RunError(
            f"{folder} was begun with other options: {'; '.join(differences)}; "
            "give the same ones, or another folder"
        )
    return load(folder, cache)


def load(folder: Path, cache: EmbeddingCache) -> Dataset:
    """Load the data that the run in `folder` began with, whatever came to the cache since.

    Raises RunError where it is another cache, or where that data has changed.
    """
    stored = read(folder)
    data = Dataset.load(cache, stored["rows"])
    if data.fingerprint != stored["fingerprint"]:
        raise RunError(
            f"{folder} belongs to another cache, or images or labels of {cache.path} have "
            "changed since it began; give the cache it began with, or another folder"
        )
    if stored["cache"] != _whole(cache.path):  # it was moved
        _write(folder, stored | {"cache": _whole(cache.path)})
    # Classes that came later take no part, so that the head keeps its width; nor does what the
    # cache has learned of a name since.
    return _named(data, stored["names"], frozenset(stored["described"]))


def _named(data: Dataset, names: Sequence[str], described: Collection[str]) -> Dataset:
    """Return the data with these class names, and what the cache's text says about some of them."""
    if data.text is None:
        return replace(data, names=tuple(names))
    text = data.text.of([name if name in described else "" for name in names])
    return replace(data, names=tuple(names), text=replace(text, names=tuple(names)))


def _create(
    folder: Path, config: RunConfig, cache: EmbeddingCache, names: Sequence[str]
) -> Dataset:
    if folder.is_file() or any(f.name != "run.json.partial" for f in folder.glob("*")):
        raise RunError(f"{folder} exists and is not a run; name another folder")
    data = Dataset.load(cache)
    described = () if data.text is None else data.text.described()
    if names:
        data = _named(data, tuple(dict.fromkeys((*data.names, *names))), described)
    check(config, data)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "format": FORMAT,
        "config": asdict(config),
        "cache": _whole(cache.path),
        "identity": cache.identity.to_dict(),
        "rows": data.n,
        "fingerprint": data.fingerprint,
        "names": list(data.names),
        "described": list(described),
    }
    _write(folder, content)
    return data


def _whole(place: Place) -> str:
    """Return a path from the root of the file system, or a URL."""
    return str(place.resolve()) if isinstance(place, Path) else place


def _write(folder: Path, content: Mapping[str, Any]) -> None:
    write_file(folder / "run.json", json.dumps(content, indent=2).encode())


def read(folder: Path) -> dict[str, Any]:
    """Return the content of run.json; RunError where it is damaged or of a newer format."""
    try:
        content: dict[str, Any] = json.loads((folder / "run.json").read_bytes())
        keys = ("format", "cache", "rows", "fingerprint", "names", "described")
        found, *_ = (content[key] for key in keys)
        known = {f.name for f in fields(RunConfig)}
        strange = set(content["config"]) - known
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder}/run.json cannot be read: {error}") from error
    if found != FORMAT or strange:
        raise RunError(
            f"{folder} has run format {found}, this version of clipcache knows format {FORMAT}; "
            "continue it with the version that began it"
        )
    return content


def check(config: RunConfig, data: Dataset) -> None:
    """Raise RunError for options that cannot work with this data, before anything is written."""
    registry.load("strategies", config.strategy)
    recipe = registry.load("heads", config.head)
    stopping.parse(config.stop)
    if config.head_start == "continue" and not getattr(recipe, "continues", Head.continues):
        raise RunError(
            f"--head-start continue goes on from weights, and --head {config.head} has others; "
            "give fresh, or another head"
        )
    needs_text = getattr(recipe, "needs_text", Head.needs_text)
    if config.people:
        _check_people(config, data)
    else:
        _check_replay(config, data)
    if needs_text and not names_known(data.text, len(data.names)).any():
        raise RunError(
            f"--head {config.head} needs vectors of class names, but the cache has none; give "
            f"a head that does without, as auto, or {AGAIN} with class names"
        )
    if config.subsample is not None and config.subsample < config.batch:
        raise RunError(
            f"a batch of {config.batch} cannot be chosen from --subsample {config.subsample}"
        )


def _check_replay(config: RunConfig, data: Dataset) -> None:
    if not (data.labels >= 0).any():
        raise RunError(
            "the cache has no labels: loop and compare replay labels that are there; "
            f"{AGAIN} with classes: as folders, in a --label-column, or beside the vectors; or let "
            "people label with `clipcache label`"
        )
    test = data.test[data.labels[data.test] >= 0]
    if not len(test):
        raise RunError(
            "the cache holds no labelled test images to measure accuracy on; "
            f"{AGAIN} with --split random:0.2, say"
        )
    _check_eval_size(config, len(test))
    pool = data.pool[data.labels[data.pool] >= 0]
    first = start_size(config.init, data.labels[pool], data.names)
    wanted = first + config.batch * config.rounds
    if wanted > len(pool):
        raise RunError(
            f"{config.rounds} rounds of {config.batch} after --init {config.init} need {wanted} "
            f"labels, but the pool has {len(pool)} labelled images; ask for fewer"
        )


def _check_people(config: RunConfig, data: Dataset) -> None:
    if config.head_start == "continue":
        raise RunError(
            "--head-start continue goes on from weights of the same classes, but people may make "
            "new ones; give fresh"
        )
    _check_eval_size(config, len(data.test[data.labels[data.test] >= 0]))
    found = roles(data, config)
    if not len(found.pool):
        hidden = " that has no label; give --relabel to ask about all" if len(found.given) else ""
        raise RunError(f"the cache has no image to ask people about{hidden}")
    if config.init.startswith("stratified"):
        raise RunError(
            f"--init {config.init} needs to know labels before they are given; give kmeans:40, say"
        )
    start_size(config.init, np.full(len(found.pool), -1), data.names)
    measured = len(found.test) + len(found.held_out)
    if not measured and any(rule in config.stop for rule in ("gain", "plateau")):
        raise RunError(
            f"--stop {config.stop} looks at accuracy, but there is nothing to measure it on; give "
            "--held-out 50, say, or a rule that needs none, as agreement"
        )


def _check_eval_size(config: RunConfig, test: int) -> None:
    if config.eval_size is not None and not 1 <= config.eval_size <= test:
        raise RunError(
            f"--eval-size {config.eval_size}, but there are {test} test images; give fewer, "
            "or leave it out to measure on all"
        )
