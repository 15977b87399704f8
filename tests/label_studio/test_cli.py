"""`clipcache label-studio`: what it hands on, and what it says where something is wrong."""

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec
from urllib.parse import urlsplit

import pytest

from clipcache.cli.main import main
from clipcache.errors import ClipcacheError, RunError
from clipcache.label_studio import pull, push, serving, sync
from clipcache.label_studio.pull import Pulled
from clipcache.label_studio.push import Pushed
from clipcache.label_studio.sync import Synced, watch
from clipcache.people import images_place
from tests.images.test_tar import packed
from tests.label_studio.conftest import free_port
from tests.label_studio.runs import CONFIG, begin

TOKEN = "0123456789abcdef0123456789abcdef01234567"
PUSHED = Pushed(3, "http://h/projects/3/data", 8, 8, 0, 8, "clipcache 12 round 1")
PULLED = Pulled(3, labels=2, annotators=["ann@example.org"])
SYNCED = Synced(PULLED, 2, 1, None, None, PUSHED, None)

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["clipcache", "label-studio", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        assert TOKEN not in captured.out + captured.err
        return int(caught.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = begin(tmp_path)
    run.store.close()
    return run.folder


@pytest.mark.parametrize(
    ("module", "name", "done"),
    [(push, "push", PUSHED), (pull, "pull", PULLED), (sync, "sync", SYNCED)],
    ids=["push", "pull", "sync"],
)
def test_each_command_calls_the_function_of_its_name(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, done: Any
) -> None:
    function = create_autospec(getattr(module, name), return_value=done)
    monkeypatch.setattr(module, name, function)
    where = ["--url", "http://studio.example/", "--project", "photos"]
    images = [] if name == "pull" else ["--image-url", "https://h/{key}"]
    code, out, _ = cli(name, folder, *where, *images, "--json")
    assert code == 0
    run, studio, *rest = function.call_args.args
    run.store.close()
    assert run.folder == folder
    assert studio.url == "http://studio.example"
    assert rest == ["photos", *images[1:]]
    said = json.loads(out)
    assert (said["pushed"] if name == "sync" else said)["project"] == 3
    code, out, _ = cli(name, folder, *where)
    function.call_args.args[0].store.close()
    assert "project: 3" in out


def test_what_is_wrong_is_one_line(cli: Cli, folder: Path, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    replays = begin(tmp_path / "replays", replace(CONFIG, asks="replay"))
    replays.store.close()
    for arguments, words in [
        (["push", tmp_path / "none"], "there is no run in"),
        (["sync", tmp_path / "none"], "there is no run in"),
        (["push", replays.folder], "replays labels that its cache has"),
        (["pull", folder], "was never pushed: say where to with --url and --project"),
        (["push", folder, "--url", "nowhere"], "is not the address of a server"),
        (["push", folder, "--url", "http://a..b"], "--url 'http://a..b' is no address"),
        (["push", folder, "--url", nobody, "--token-file", tmp_path / "t"], "no token can be read"),
        (["backend", folder, "--url", nobody], "give --images"),
    ]:
        code, out, err = cli(*arguments)
        assert (code, out) == (1, "")
        assert words in err
        assert err.startswith("error: ")
        assert err.count("\n") == 1


@pytest.fixture
def backend(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Any, str]]:
    """Starts a backend with more options; returns what it was told of its address, and us."""
    function = create_autospec(serving.serve_backend)
    monkeypatch.setattr(serving, "serve_backend", function)
    where = ["--images", folder, "--url", "http://studio.example", "--port", 0]

    def call(*options: object) -> tuple[Any, str]:
        _, out, err = cli("backend", folder, *where, *options)
        assert out == ""
        return function.call_args and function.call_args.kwargs["public_url"], err

    return call


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        pytest.param(
            "::1",
            "[::1]",
            marks=pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6"),
        ),
    ],
)
def test_a_backend_is_where_it_listens(
    backend: Callable[..., tuple[Any, str]], host: str, shown: str
) -> None:
    address, said = backend("--host", host)
    assert address.rpartition(":")[0] == f"http://{shown}"
    assert urlsplit(address).port
    assert address in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_backend_on_every_address_is_told_which_one_is_meant(
    backend: Callable[..., tuple[Any, str]], host: str
) -> None:
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6")
    address, said = backend("--host", host)
    assert address is None
    (error,) = [line for line in said.splitlines() if not line.startswith("warning: ")]
    assert error.startswith("error: ")
    assert host in error
    assert "--public-url" in error
    address, _ = backend("--host", host, "--public-url", "https://h.example/x")
    assert address == "https://h.example/x"


def test_a_backend_shows_images_of_any_source(
    backend: Callable[..., tuple[Any, str]], tmp_path: Path
) -> None:
    files = {"000005.jpg": b"five"}
    for source in (packed(tmp_path / "photos.tar", files), "s3://bucket/photos.tar"):
        _, said = backend("--images", source)
        assert "error" not in said
        assert images_place(tmp_path / "run") == source
    _, said = backend("--images", tmp_path / "no.tar")
    assert "nothing is at" in said


def test_usage(cli: Cli, folder: Path) -> None:
    for arguments in [
        ["push"],
        ["sync", folder, "--watch", "0"],
        ["sync", folder, "--watch", "nan"],
        ["sync", folder, "--watch", "inf"],
        ["backend", folder, "--port", "x"],
    ]:
        assert cli(*arguments)[0] == 2


def test_a_watch_goes_on_while_a_server_is_away() -> None:
    quiet = replace(SYNCED, pulled=None, pushed=replace(PUSHED, tasks=0, predictions=0))
    outcomes: list[Synced | ClipcacheError] = [quiet, SYNCED, RunError("away"), quiet, SYNCED]
    told: list[Synced] = []
    said: list[str] = []

    def once() -> Synced:
        if not outcomes:
            raise KeyboardInterrupt
        outcome = outcomes.pop(0)
        if isinstance(outcome, ClipcacheError):
            raise outcome
        return outcome

    watch(once, 5, on_sync=told.append, say=said.append, sleep=lambda _: None)
    assert told == [quiet, SYNCED, SYNCED]
    assert said == ["away"]
    outcomes.append(RunError("wrong from the beginning"))
    with pytest.raises(RunError):
        watch(once, 5, on_sync=told.append, say=said.append, sleep=lambda _: None)
