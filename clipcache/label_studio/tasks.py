"""What a batch is in Label Studio: tasks, and what the newest head says about them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from clipcache.arrays import RowIds
from clipcache.desk.suggestions import Card, Suggester
from clipcache.heads.base import names_known
from clipcache.label_studio.client import Json
from clipcache.label_studio.images import Address
from clipcache.label_studio.labelling import NO_GUESS, Form
from clipcache.run import Run


@dataclass(frozen=True)
class Guess:
    """What the newest head says about one image."""

    key: str
    offered: tuple[str, ...] = ()
    """The classes to choose among first, the likeliest first; none where nobody is to be led."""
    probs: tuple[float, ...] = ()
    """Of the first ones; none where nothing is predicted."""

    @property
    def certainty(self) -> float:
        """How much likelier the first is than the second, in [0, 1]: low ones are asked first."""
        return self.probs[0] - sum(self.probs[1:2]) if self.probs else 0.0

    @property
    def text(self) -> str:
        """What an annotator reads."""
        lines = [f"{name}: {p:.0%}" for name, p in zip(self.offered, self.probs, strict=False)]
        return "\n".join(lines) or NO_GUESS


def run_id(run: Run) -> str:
    """Return what tells the tasks of this run from all others: its data and its configuration."""
    told = json.dumps([run.data.fingerprint, asdict(run.config)])
    return sha256(told.encode()).hexdigest()[:16]


def model_version(run: Run) -> str | None:
    """Return what the newest head is called; None where nothing can be predicted yet."""
    last = run.store.last_round()
    if last is not None:
        return f"{family(run)}round {last}"
    known = names_known(run.data.text, len(run.data.names)).any()
    return f"{family(run)}class names" if known else None


def family(run: Run) -> str:
    """Return what the names of all heads of a run begin with."""
    return f"clipcache {run_id(run)[:8]} "


def guesses(run: Run, suggester: Suggester, rows: RowIds) -> dict[int, Guess]:
    """Return what the newest head says about each row; before there is one, what names say.

    Held-out images have no suggestion, which would lead those who are to judge it, and come first.
    """
    held_out = set(run.held_out.tolist())
    return {
        card.row: Guess(card.key) if card.row in held_out else _guess(card)
        for card in suggester.cards(rows.tolist())
    }


def _guess(card: Card) -> Guess:
    probs = (suggestion.probability for suggestion in card.suggestions)
    return Guess(
        card.key,
        tuple(suggestion.name for suggestion in card.suggestions),
        tuple(p for p in probs if p is not None),
    )


def task_data(
    run: Run, form: Form, found: Mapping[int, Guess], address: Address
) -> dict[int, Json]:
    """Return row -> the data of its task."""
    mine = run_id(run)
    made: dict[int, Json] = {}
    for row, guess in found.items():
        data: Json = {form.image_key: address(row, guess.key), "likely": guess.text}
        if form.buttons_key:
            data[form.buttons_key] = form.options(guess.offered)
        suggested = list(guess.offered) if guess.probs else []
        made[row] = {**data, "suggested": suggested, "row": row, "key": guess.key, "run": mine}
    return made


def prediction(form: Form, guess: Guess, version: str | None) -> Json:
    """Return a guess as Label Studio stores it; its certainty is the score."""
    result = form.result(guess.offered[0]) if guess.probs else []
    return {"model_version": version, "score": guess.certainty, "result": result}


def row_of(data: Any, mine: str, n: int) -> int | None:
    """Return the row of a task's data in a run of `n` rows; None for anybody else's task."""
    if not isinstance(data, dict) or data.get("run") != mine:
        return None
    row = data.get("row")
    return row if type(row) is int and 0 <= row < n else None
