"""The folder of a comparison: what is compared, and every trial that is finished.

```
FOLDER/comparison.json    the plan, and which data it is about
FOLDER/trials/KEY.json    a trial, under the hash of all that decides it
FOLDER/.lock              held by the one process that works here
```

A trial is the same whoever asks for it, so arms may be renamed, and others or more seeds added,
without computing anything twice. Each file is whole or not there, wherever the process is killed.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clipcache.comparison.plan import Arm, Plan, evaluation_name
from clipcache.comparison.trial import Task, Trial
from clipcache.durable import write_file
from clipcache.errors import RunError
from clipcache.run_config import RunConfig

FORMAT = 1
"""To be raised when the same configuration would measure something else, so that trials of an
older version are not mixed with new ones."""
LOCK = ".lock"


def trial_key(task: Task) -> str:
    """Return the name of a trial, wherever its cache lies."""
    decides = {
        "format": FORMAT,
        "data": task.data,
        "config": asdict(task.config),
        "traditional": task.traditional,
        "evaluations": sorted(map(evaluation_name, task.eval_sizes)),
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:32]


class TrialStore:
    """The finished trials of one folder."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """`say` hears of trials that have to be made again."""
        self._folder = folder / "trials"
        self._say = say

    def find(self, key: str) -> Trial | None:
        """Return a finished trial; None where there is none, or its file is damaged."""
        path = self._folder / f"{key}.json"
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_bytes())
            if _seal(content["trial"]) != content["sha256"]:
                raise ValueError("its content is not what was written")
            return _trial(content["trial"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._say(f"{path} is damaged ({error}) and is made again")
            return None

    def add(self, key: str, trial: Trial) -> None:
        """Keep a trial; it is on disk when the call returns."""
        self._folder.mkdir(parents=True, exist_ok=True)
        fields = json.loads(json.dumps(asdict(trial)))
        content = {"sha256": _seal(fields), "trial": fields}
        write_file(self._folder / f"{key}.json", json.dumps(content).encode())


def _seal(fields: Any) -> str:
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


def _trial(fields: dict[str, Any]) -> Trial:
    return Trial(
        labels=tuple(fields["labels"]),
        seconds=tuple(fields["seconds"]),
        batches=tuple(map(tuple, fields["batches"])),
        measured={
            evaluation: {metric: tuple(values) for metric, values in metrics.items()}
            for evaluation, metrics in fields["measured"].items()
        },
        stopped=fields["stopped"],
    )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep all other processes out of the folder of a comparison; make it where there is none.

    Raises RunError where another process is in it, or the folder is something else.
    """
    known = (LOCK, "comparison.json.partial")  # no more is left of what never got to begin
    begun = (folder / "comparison.json").exists()
    if folder.is_file() or not (begun or all(f.name in known for f in folder.glob("*"))):
        raise RunError(f"{folder} exists and is not a comparison; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            yield
    except Timeout:
        raise RunError(
            f"another process is comparing in {folder}; wait for it, or stop it and run this again"
        ) from None


def begin(folder: Path, plan: Plan, data: dict[str, str]) -> None:
    """Begin a comparison, or go on with the one in `folder`.

    `data` : name of a cache -> its `data_key`.

    Raises RunError where something that was compared would no longer be, or differently.
    """
    content = {"format": FORMAT, "data": data, "plan": asdict(plan)}
    path = folder / "comparison.json"
    if path.exists():
        before = _read(path)
        lost = [*_lost_data(before[1], data), *_lost_plan(before[0], plan)]
        if lost:
            raise RunError(
                f"{folder} was begun otherwise: {'; '.join(lost)}; give the same and perhaps more "
                "seeds, arms or caches, or another folder"
            )
    write_file(path, json.dumps(content, indent=2).encode())


def _read(path: Path) -> tuple[Plan, dict[str, str]]:
    """Return what was begun; RunError where that is damaged or of another format."""
    try:
        content = json.loads(path.read_bytes())
        found, stored, data = content["format"], content["plan"], dict(content["data"])
        arms = tuple(
            Arm(arm["name"], RunConfig(**arm["config"]), arm["traditional"])
            for arm in stored["arms"]
        )
        sizes = tuple(stored["eval_sizes"])
        plan = Plan(arms, stored["baseline"], stored["seeds"], sizes, stored["target"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RunError) as error:
        raise RunError(f"{path} cannot be read: {error}; name another folder") from error
    if found != FORMAT:
        raise RunError(
            f"{path.parent} has comparison format {found}, this version of clipcache knows format "
            f"{FORMAT}; name another folder"
        )
    return plan, data


def _lost_data(before: dict[str, str], now: dict[str, str]) -> list[str]:
    lost = [f"with the cache {name}" for name in before if name not in now]
    changed = [name for name in before if name in now and before[name] != now[name]]
    return lost + [f"with other images, labels or class names in {name}" for name in changed]


def _lost_plan(before: Plan, now: Plan) -> list[str]:
    lost = []
    if now.seeds < before.seeds:
        lost.append(f"{before.seeds} seeds instead of {now.seeds}")
    old, new = (sorted(map(evaluation_name, plan.eval_sizes)) for plan in (before, now))
    if old != new:
        lost.append(
            f"evaluation on {', '.join(old)} instead of {', '.join(new)} (sizes have to stay)"
        )
    return lost + _lost_arms(before.arms, now.arms)


def _lost_arms(before: Sequence[Arm], now: Sequence[Arm]) -> list[str]:
    """Name the arms that are no longer there; a new name alone is no other arm."""
    kept = {(arm.config, arm.traditional) for arm in now}
    named = {arm.name: arm for arm in now}
    lost = []
    for arm in before:
        if (arm.config, arm.traditional) in kept:
            continue
        same = named.get(arm.name)
        differences = same.config.differences(arm.config) if same else []
        lost.append(f"with the arm {arm.name!r}" + "".join(f", {d}" for d in differences))
    return lost
