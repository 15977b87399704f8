"""Locks in buckets of each kind: one holder, who says that it is there, and who is dead."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from clipcache.cache import CacheWriter
from clipcache.cache import lease as lease_module
from clipcache.cache.lease import Lease
from clipcache.cache.locks import Share
from clipcache.errors import CacheLockedError
from clipcache.objects import Objects, Version
from tests.buckets import google_server, lock, make_bucket, s3_server, until_lost
from tests.toy_cache import CHUNK_ROWS, IDENTITY

NOBODY = 2**22 + 1
"""The id of no process: Linux gives out none so high."""


@pytest.fixture(params=["s3", "gs"])
def bucket(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Objects]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    server = {"s3": s3_server, "gs": google_server}[request.param]
    with server(monkeypatch) as address:
        if request.param == "s3":
            make_bucket(address, "bucket")
        yield Objects(f"{request.param}://bucket/caches/c.zarr")


def opens(bucket: Objects, share: Share | None = None) -> bool:
    how = {} if share is None else {"share": share}
    try:
        with CacheWriter.open(bucket.url, IDENTITY, chunk_rows=CHUNK_ROWS, **how):
            return True
    except CacheLockedError:
        return False


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Move the clock of the cloud."""
    real = lease_module.cloud_time
    monkeypatch.setattr(lease_module, "cloud_time", lambda objects: real(objects) + seconds)


def test_who_is_dead_is_not_waited_for(bucket: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    lock(bucket)
    assert not opens(bucket), "it may live on another machine"
    later(monkeypatch, lease_module.DEAD + 10)
    assert opens(bucket), "not heard of for long"


def test_a_dead_process_of_this_machine_is_not_waited_for(bucket: Objects) -> None:
    mine = Lease(bucket, ".lock")
    assert mine.take()
    machine = json.loads(bucket.get(".lock"))["machine"]
    mine.free()
    lock(bucket, machine=machine, pid=NOBODY)
    assert opens(bucket)
    assert opens(bucket, Share(0, 2))


def test_a_holder_says_that_it_is_there(bucket: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "RENEWED", 0.05)
    with CacheWriter.open(bucket.url, IDENTITY, chunk_rows=CHUNK_ROWS):
        tags = set()
        ends = time.monotonic() + 30
        while len(tags) < 3:
            tags.add(bucket.head(".lock").tag)
            assert time.monotonic() < ends
        assert not opens(bucket)
    assert opens(bucket)


def test_the_clock_of_this_machine_does_not_matter(
    bucket: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(bucket)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert not opens(bucket)


def test_who_has_lost_the_lock_writes_no_more(
    bucket: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "RENEWED", 0.05)
    with CacheWriter.open(bucket.url, IDENTITY, chunk_rows=CHUNK_ROWS) as writer:
        writer.grow(3)
        lock(bucket)  # as another who took this process for dead
        until_lost()
        with pytest.raises(CacheLockedError, match="could not renew its lock"):
            writer.grow(6)
    assert json.loads(bucket.get(".lock"))["host"] == "elsewhere", "and leaves the other's alone"


def test_a_lock_that_came_with_a_copied_folder_is_nobodys(bucket: Objects) -> None:
    bucket.put(".lock", b"")
    assert opens(bucket)


def sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Move the clock as if this machine had slept for an hour: Linux has one that tells."""
    real = time.clock_gettime
    asleep = {time.CLOCK_BOOTTIME: 3600.0}
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + asleep.get(clock, 0))


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no clock tells of sleep here")
def test_who_has_slept_may_have_lost_the_lock(
    bucket: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CacheWriter.open(bucket.url, IDENTITY, chunk_rows=CHUNK_ROWS) as writer:
        writer.grow(3)
        sleep(monkeypatch)
        with pytest.raises(CacheLockedError, match="could not renew its lock"):
            writer.grow(6)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no clock tells of sleep here")
def test_a_lock_is_as_old_as_the_request_for_it(
    bucket: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Objects.put

    def put(self: Objects, *what: object, **how: object) -> Version | None:
        version = real(self, *what, **how)  # type: ignore[arg-type]
        sleep(monkeypatch)
        return version

    mine = Lease(bucket, ".lock")
    with monkeypatch.context() as patch:
        patch.setattr(Objects, "put", put)
        assert mine.take()
    with pytest.raises(CacheLockedError, match="could not renew its lock"):
        mine.check()
    mine.free()


def test_other_threads_never_take_a_holder_for_dead(
    bucket: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Objects.put
    seen: list[bool] = []

    def put(self: Objects, key: str, *what: object, **how: object) -> Version | None:
        version = real(self, key, *what, **how)  # type: ignore[arg-type]
        if key == ".lock":
            seen.append(Lease(bucket, ".lock").held())
        return version

    monkeypatch.setattr(Objects, "put", put)
    mine = Lease(bucket, ".lock")
    assert mine.take()
    mine.free()
    assert len(seen) > 1
    *taken, freed = seen
    assert all(taken)
    assert not freed
    assert not mine.held()


def probes(bucket: Objects) -> list[str]:
    return [found.key for found in bucket.top() if found.key.startswith(".lock.")]


def test_old_probes_are_swept(bucket: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    left = f".lock.{uuid4().hex}"
    bucket.put(left, b"now")
    assert opens(bucket)
    assert probes(bucket) == [left], "somebody may be looking at it"
    later(monkeypatch, lease_module.DEAD + 10)
    assert opens(bucket)
    assert not probes(bucket)


def test_a_probe_may_be_swept_while_it_is_looked_at(
    bucket: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(bucket)
    real = Objects.put

    def put(self: Objects, key: str, data: bytes, **how: object) -> Version | None:
        version = real(self, key, data, **how)  # type: ignore[arg-type]
        if key.startswith(".lock."):
            self.delete(key)
        return version

    monkeypatch.setattr(Objects, "put", put)
    assert Lease(bucket, ".lock").held(), "as long as nobody knows better"
