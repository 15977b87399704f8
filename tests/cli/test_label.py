"""`clipcache label` from outside: what it begins, serves, prints and refuses."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from clipcache.people import images_place
from clipcache.run import Run
from tests.cli.conftest import Cli
from tests.pictures import draw
from tests.unlabelled import write_unlabelled

LABEL = [sys.executable, "-m", "clipcache.cli.main", "label"]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    write_unlabelled(tmp_path / "c.zarr")
    (tmp_path / "images").mkdir()
    for row in range(20):
        draw(row, (40, 30)).save(tmp_path / f"images/{row:06d}.jpg")
    return tmp_path


def refused(pool: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*LABEL, *arguments], cwd=pool, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_page_is_served_until_it_is_stopped_and_found_again(pool: Path) -> None:
    first = ["run", "--cache", "c.zarr", "--images", "images", "--port", "0", "--batch", "7"]
    token = ""
    for arguments in (first, ["run", "--port", "0"]):
        server = subprocess.Popen(
            [*LABEL, *arguments, "--json"],
            cwd=pool,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        facts = json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")
        assert facts["images"] == 478
        base, _, now = facts["address"].partition("/?token=")
        assert token in ("", now)  # a browser that was let in stays in
        token = now
        assert httpx.get(base).status_code == 401
        with httpx.Client(base_url=base, follow_redirects=True) as browser:
            assert browser.get("/", params={"token": token}).status_code == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0
        assert server.stderr is not None
        assert "0 images labelled so far; `clipcache label run` goes on" in server.stderr.read()
        server.stdout.close()
        server.stderr.close()
    run = Run.open(pool / "run")
    assert run.config.batch == 7
    assert len(run.held_out) == 50
    run.store.close()


def test_a_run_can_be_begun_without_a_page(pool: Path) -> None:
    (pool / "names.txt").write_text("hat\nclass 3\n")
    done = subprocess.run(
        [*LABEL, "run", "--cache", "c.zarr", "--classes", "names.txt", "--only-begin", "--json"],
        cwd=pool,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    facts = json.loads(done.stdout)
    assert facts["classes"][-1] == "hat"
    assert len(facts["classes"]) == 9


def test_where_images_are_is_known_to_who_shows_them(pool: Path) -> None:
    begin = ("run", "--cache", "c.zarr", "--only-begin")
    assert "nothing is at" in refused(pool, *begin, "--images", "no")
    assert not (pool / "run").exists()
    subprocess.run([*LABEL, *begin, "--images", "images"], cwd=pool, timeout=120, check=True)
    assert images_place(pool / "run") == pool / "images"


def test_bad_calls_get_one_line(pool: Path) -> None:
    assert "there is no run in run; begin one with --cache" in refused(pool, "run")
    begin = ("run", "--cache", "c.zarr")
    assert "give --images, the folder in which" in refused(pool, *begin)
    missing = refused(pool, *begin, "--images", "c.zarr/no") + refused(pool, *begin)
    assert "c.zarr/no" in missing
    assert not (pool / "run").exists(), "nothing is begun that could not be shown"
    subprocess.run([*LABEL, *begin, "--only-begin"], cwd=pool, timeout=120, check=True)
    assert "begun with other options: batch 3 instead of 10" in refused(pool, "run", "--batch", "3")


def test_a_host_that_others_reach_is_warned_of(pool: Path) -> None:
    said = refused(pool, "run", "--cache", "c.zarr", "--images", "images", "--host", "203.0.113.9")
    assert "warning: 203.0.113.9 can be reached from other machines" in said
    assert "cannot listen on 203.0.113.9" in said


def test_behind_a_proxy_the_public_address_is_printed_and_answers(pool: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    public = "https://label.example.org"
    begin = ["run", "--cache", "c.zarr", "--images", "images", "--held-out", "0"]
    server = subprocess.Popen(
        [*LABEL, *begin, "--port", str(port), "--public-url", f"{public}/", "--json"],
        cwd=pool,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    facts = json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")
    base, _, token = facts["address"].partition("/?token=")
    assert base == public
    for host in ("label.example.org", f"127.0.0.1:{port}"):
        headers = {"Host": host, "Origin": public}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as proxy:
            given = proxy.get("/", params={"token": token}).headers["set-cookie"]
            assert "; Secure" in given
            cookie = {"Cookie": given.split(";")[0]}
            assert proxy.post("/name", data={"name": "Anna"}, headers=cookie).status_code == 303
            other = cookie | {"Origin": "https://evil.example"}
            assert proxy.post("/name", data={"name": "Anna"}, headers=other).status_code == 403
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=60) == 0
    server.stdout.close()


def test_a_public_address_takes_the_place_of_the_warning(pool: Path) -> None:
    begin = ["run", "--cache", "c.zarr", "--images", "images", "--host", "203.0.113.9"]
    said = refused(pool, *begin, "--public-url", "http://label.example.org")
    assert "give its address as --public-url" in said
    said = refused(pool, *begin, "--public-url", "https://label.example.org")
    assert "warning" not in said
    assert "cannot listen on 203.0.113.9" in said
    said = refused(pool, *begin, "--public-url", "label.example.org/here")
    assert "is not the address of a server" in said


def test_workers_may_score(cli: Cli, pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    begin = ("label", pool / "run", "--cache", pool / "c.zarr", "--only-begin")
    said = cli(*begin, "--engine", "ray")
    assert (said.code, "Ray is not installed" in said.err) == (1, True)
    assert cli(*begin).code == 0
    said = cli("label", pool / "run", "--only-begin", "--engine", "ray")
    assert (said.code, "Ray is not installed" in said.err) == (1, True)
