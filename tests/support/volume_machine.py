"""A machine for Hypothesis: two hosts, one volume, and a model of both made of dicts."""

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
from anyio.from_thread import start_blocking_portal
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hutch.errors import HutchError
from hutch.volumes import MemoryStore, VolumeName, Volumes
from support.volume_engine import WEB, HandClock, tree_of, tree_on_disk
from support.volume_model import Files, ModelHost

HOSTS = st.sampled_from(["one", "two"])
NAMES = st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a"])
CONTENT = st.sampled_from([b"", b"1", b"22", b"small" * 100, b"large" * 70_000, b"larger" * 120_000])
TTL_S = 60


def only_files(tree: dict[str, Any]) -> Files:
    return {path.removeprefix("/"): data for path, data in tree.items() if data is not None}


def lengths(files: Files) -> dict[str, int]:
    return {path: len(data) for path, data in files.items()}


class VolumesModel(RuleBasedStateMachine):
    """Two hosts and one volume. The model: what each snapshot holds, and what must not have been lost."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="hutch-model-"))
        self.clock = HandClock()
        self.store = MemoryStore(self.store_time)
        self.history: dict[int, Files] = {}
        self.newest: Files = {}
        self.must_be_kept: list[Files] = []
        self.scope = ExitStack()
        self.portal = self.scope.enter_context(start_blocking_portal())
        self.reader = Volumes(self.store, self.root / "reader", clock=self.clock)
        self.hosts = {name: ModelHost(self.store, self.root / name, self.clock) for name in ("one", "two")}
        self.doors = {name: self.portal.start_task(host.serve)[1] for name, host in self.hosts.items()}

    def store_time(self) -> datetime:
        """The store's clock goes right, whatever those of hosts do."""
        return datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=self.clock.ticks)

    def on(self, name: str, work: Callable[[], Awaitable[object]]) -> Any:  # noqa: ANN401
        """Let a host do something; an error that users may see is an answer."""

        async def ask() -> object:
            done = anyio.Event()
            answer: list[object] = []
            await self.doors[name].send((work, answer, done))
            await done.wait()
            return answer[0]

        result = self.portal.call(ask)
        if isinstance(result, Exception) and not isinstance(result, HutchError):
            raise result
        return result

    @rule(name=HOSTS)
    def acquire(self, name: str) -> None:
        host, other = self.hosts[name], self.hosts["two" if name == "one" else "one"]
        if host.lease is not None:
            return
        result = self.on(name, host.acquire)
        if isinstance(result, HutchError):
            assert result.code == "volume_held"
            return
        assert other.lease is None or self.clock.ticks - other.renewed_at > TTL_S
        found = only_files(self.portal.call(tree_of, self.reader))
        # What this host had left was committed, or lies in a conflict fork and is looked for at the end.
        assert found in (self.newest, host.files)
        assert host.folder is not None
        assert only_files(tree_on_disk(host.folder)) == found
        host.files, host.committed = dict(found), dict(found)
        self.note_new_snapshots(found)

    def note_new_snapshots(self, expected: Files) -> None:
        self.newest = expected
        for snapshot in self.portal.call(self.reader.log, WEB, 100):
            if snapshot.number not in self.history:
                self.history[snapshot.number] = only_files(
                    self.portal.call(tree_of, self.reader, snapshot.number)
                )

    @rule(name=HOSTS, path=NAMES, data=CONTENT)
    def edit(self, name: str, path: str, data: bytes) -> None:
        host = self.hosts[name]
        if host.folder is not None:
            (host.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (host.folder / path).write_bytes(data)
            host.files[path] = data

    @rule(name=HOSTS, path=NAMES)
    def delete(self, name: str, path: str) -> None:
        host = self.hosts[name]
        if host.folder is not None and path in host.files:
            (host.folder / path).unlink()
            del host.files[path]

    @rule(name=HOSTS)
    def commit(self, name: str) -> None:
        host = self.hosts[name]
        if host.lease is None:
            return
        lease = host.lease
        result = self.on(name, lambda: host.volumes.commit(lease, "run"))
        if isinstance(result, HutchError):
            assert result.code == "lease_lost"
            self.must_be_kept.append(dict(host.files))
            self.on(name, host.leave)
            host.files, host.committed = {}, {}
            return
        if host.is_dirty:
            assert result is not None
        if result is not None:
            assert result.number > max(self.history, default=0)
            self.note_new_snapshots(dict(host.files))
            assert self.history[result.number] == host.files
        host.committed = dict(host.files)
        host.renewed_at = max(host.renewed_at, self.clock.ticks if result else host.renewed_at)

    @rule(name=HOSTS)
    def leave(self, name: str) -> None:
        host = self.hosts[name]
        if host.lease is not None:
            self.keep(host)
            self.on(name, host.leave)

    @rule(name=HOSTS)
    def crash(self, name: str) -> None:
        host = self.hosts[name]
        self.keep(host)
        self.on(name, host.break_off)
        host.start()

    def keep(self, host: ModelHost) -> None:
        if host.is_dirty:
            self.must_be_kept.append(dict(host.files))

    @rule(name=HOSTS)
    def recover(self, name: str) -> None:
        host = self.hosts[name]
        if host.lease is None:
            self.on(name, host.volumes.recover)
            if not self.portal.call(self.reader.list):
                return
            self.note_new_snapshots(only_files(self.portal.call(tree_of, self.reader)))

    @rule(name=HOSTS, path=NAMES, data=CONTENT)
    def write(self, name: str, path: str, data: bytes) -> None:
        host = self.hosts[name]
        result = self.on(name, lambda: host.volumes.write(WEB, path, data, mode="overwrite"))
        if isinstance(result, HutchError):
            assert result.code == "volume_held"
            return
        found = only_files(self.portal.call(tree_of, self.reader))
        assert found in (self.newest | {path: data}, host.files | {path: data})
        self.note_new_snapshots(found)

    @rule(seconds=st.sampled_from([10, 70, 200]))
    def move_clock(self, seconds: int) -> None:
        self.clock.move(seconds)

    @rule(hours=st.sampled_from([-24, -5, 5, 24]))
    def set_wall_clock(self, hours: int) -> None:
        self.clock.wall += timedelta(hours=hours)

    @precondition(lambda self: self.history)
    @rule(data=st.data())
    def read_a_snapshot(self, data: st.DataObject) -> None:
        at = data.draw(st.sampled_from(sorted(self.history)))
        assert only_files(self.portal.call(tree_of, self.reader, at)) == self.history[at]

    @invariant()
    def the_newest_snapshot_is_what_the_model_says(self) -> None:
        if self.history:
            assert only_files(self.portal.call(tree_of, self.reader)) == self.newest

    def teardown(self) -> None:
        try:
            self.nothing_was_lost()
        finally:
            for door in self.doors.values():
                self.portal.call(door.aclose)
            self.scope.close()
            shutil.rmtree(self.root)

    def nothing_was_lost(self) -> None:
        for name in self.hosts:
            self.crash(name)
        for name, host in self.hosts.items():
            self.on(name, host.volumes.recover)
            self.on(name, host.acquire)  # brings up also what was left without a crash
            self.on(name, host.leave)
            self.clock.move(1000)  # an abandoned lease, seen just now, runs out by every clock
            recovered = self.on(name, host.volumes.recover)
            assert [each.problem for each in recovered] in ([], [None])
            assert self.on(name, host.acquire) is None
            self.on(name, host.leave)
        kept: list[Files] = []
        for info in self.portal.call(self.reader.list):
            volume = VolumeName.parse(info.name)
            assert self.portal.call(self.reader.check, volume).problems == ()
            log = self.portal.call(self.reader.log, volume, 1000)
            kept += [only_files(self.portal.call(tree_of, self.reader, each.number, volume)) for each in log]
        for files in self.must_be_kept:
            assert files in kept or files == {}, (lengths(files), [lengths(each) for each in kept])
