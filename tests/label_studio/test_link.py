"""One project a run: which one is kept with the run, and another is refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clipcache.errors import ClipcacheError, LabelStudioError
from clipcache.label_studio.client import LabelStudio
from clipcache.label_studio.link import NAME, Link, open_run, project_of, server_of
from clipcache.label_studio.pull import pull
from clipcache.label_studio.push import push
from clipcache.label_studio.sync import keep_ahead, sync
from clipcache.label_studio.token import Token
from clipcache.run import Run
from tests.label_studio.runs import CONFIG, begin, truth
from tests.label_studio.scripted import Asked, Said, scripted

LINK = Link("http://localhost:8080", 3, "https://photos.example/{key}")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = begin(tmp_path)
    yield run
    run.store.close()


def test_it_is_kept(tmp_path: Path) -> None:
    assert Link.read(tmp_path) is None
    LINK.write(tmp_path)
    assert Link.read(tmp_path) == LINK
    assert server_of(tmp_path, None) == LINK.url
    assert server_of(tmp_path, LINK.url + "/") == LINK.url


def test_another_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelStudioError, match="never pushed: say where to with --url and"):
        server_of(tmp_path, None)
    assert server_of(tmp_path, "http://h:1/") == "http://h:1"
    LINK.write(tmp_path)
    with pytest.raises(LabelStudioError, match="was pushed to http://localhost:8080, not to http"):
        server_of(tmp_path, "http://h:1/")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"url": "x", "project": "y", "images": ""}'])
def test_a_damaged_file_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content)
    with pytest.raises(LabelStudioError, match=r"label-studio.json cannot be read .*: delete it"):
        Link.read(tmp_path)


def projects(asked: Asked) -> Said:
    titles = [(3, "photos"), (4, "twice"), (5, "twice")]
    found = [{"id": i, "title": t, "label_config": "<View/>"} for i, t in titles]
    if asked.path.startswith("/api/projects/?"):
        return Said(200, {"results": found, "next": None})
    number = int(asked.path.split("/")[3])
    return Said(200, found[number - 3])


def test_a_project_goes_by_number_or_title(run: Run) -> None:
    with scripted(projects) as server, LabelStudio(server.url, Token("t")) as studio:
        assert project_of(run, studio, "3")["title"] == "photos"
        assert project_of(run, studio, "photos")["id"] == 3
        with pytest.raises(LabelStudioError, match="projects 4, 5 of the title 'twice': give"):
            project_of(run, studio, "twice")
        with pytest.raises(LabelStudioError, match=r"no project of the title 'new': `clipcache l"):
            project_of(run, studio, "new")
        with pytest.raises(LabelStudioError, match="never pushed: name its --project"):
            project_of(run, studio, None)
        replace(LINK, url=server.url).write(run.folder)
        for wanted in (None, "3", "photos"):
            assert project_of(run, studio, wanted)["id"] == 3
        for wanted in ("4", "twice"):
            with pytest.raises(LabelStudioError, match="belongs to project 3, 'photos': leave"):
                project_of(run, studio, wanted)


def test_a_run_that_replays_labels_has_nothing_to_ask(tmp_path: Path) -> None:
    run = begin(tmp_path, replace(CONFIG, asks="replay"))
    with LabelStudio("http://localhost:1", Token("t")) as studio:
        for call in (push, pull, sync):
            with pytest.raises(LabelStudioError, match="replays labels that its cache has"):
                call(run, studio, "3")
    run.store.close()
    with pytest.raises(ClipcacheError, match="replays labels that its cache has"):
        open_run(run.folder)
    with pytest.raises(LabelStudioError, match=r"there is no run in .*: begin one with `clip"):
        open_run(tmp_path / "none")


def test_a_batch_is_prepared_once_half_of_the_last_is_answered(run: Run) -> None:
    keep_ahead(run)
    first = run.open_rows().tolist()
    assert len(first) == 8
    for number, row in enumerate(first, start=1):
        run.record([row], [run.names.index(truth(row))], annotator="a", source="test")
        keep_ahead(run)
        assert len(run.store.batches()) == (1 if number < 4 else 2)
    keep_ahead(run)
    assert len(run.store.batches()) == 2
    assert len(run.open_rows()) == 6
