"""A run in which people labelled, skipped, excluded, differed, changed their minds and decided."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from clipcache.cache.reader import EmbeddingCache
from clipcache.labels import DECISION, EXCLUDED, SKIPPED, WITHDRAWN
from clipcache.run import Run
from tests.labelled_run import labelled_run


class Said(NamedTuple):
    """Rows of the run, by what was said about them."""

    agreed: int
    differing: int
    decided: int
    skipped: int
    excluded: int
    waiting: int
    withdrawn: int
    made: int


class Labelled(NamedTuple):
    run: Run
    said: Said


@pytest.fixture(scope="module")
def labelled(
    tmp_path_factory: pytest.TempPathFactory, finished_cache: EmbeddingCache
) -> Iterator[Labelled]:
    """Two people look at each image; classes 0 to 7, and `cape` (8), made on the spot."""
    folder = tmp_path_factory.mktemp("labelled") / "run"
    with labelled_run(folder, finished_cache, rounds=0, per_image=2) as run:
        said = Said(*run.propose()[:8].tolist())
        assert run.add_class('cape, "long"', annotator="ann") == 8

        def say(who: str, row: int, label: int, source: str = "page") -> None:
            run.record([row], [label], annotator=who, source=source)

        for row in (said.agreed, said.differing, said.decided, said.withdrawn):
            say("ann", row, 1)
        say("bob", said.agreed, 1)
        say("bob", said.differing, 2)
        say("bob", said.decided, 2)
        say("chief", said.decided, 2, DECISION)
        for who in ("ann", "bob"):
            say(who, said.skipped, SKIPPED)
            say(who, said.excluded, EXCLUDED, "label-studio")
            say(who, said.made, 8)
        say("ann", said.waiting, 3)
        say("bob", said.waiting, 2, "label-studio")
        say("bob", said.waiting, WITHDRAWN)
        say("ann", said.withdrawn, WITHDRAWN)
        yield Labelled(run, said)
