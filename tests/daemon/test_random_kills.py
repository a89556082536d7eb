"""Daemons, front programs, commands and keepers, killed at any instant: nothing of them stays on the host."""

import base64
import logging
import os
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio
import pytest
from httpx2 import HTTPError

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.bounds import chance, limit_s, times
from support.contract_column import who
from support.daemon import Daemon, run
from support.kept_methods import PLACES, daemon_with, label
from support.left_behind import Traces, engines_of, marked, saying

pytestmark = [pytest.mark.slow, pytest.mark.apart("place"), pytest.mark.timeout(limit_s(300, long=3000))]

_log = logging.getLogger(__name__)
_AT_ONCE = 5
_RUNS = {"bubblewrap": (40, 500), "nsjail": (25, 500)}  # in CI, and where there is time
_OTHERS = (10, 100)
# What outlives a command that only ends its own process: it ignores signals, it has a session of its own
_STUBBORN = """
(setsid sh -c 'trap "" TERM HUP INT; sleep {word} & exec sleep {word}' >/dev/null 2>&1 </dev/null &)
(setsid /usr/bin/python3 -Sc '
import socket, time
try: held = socket.create_server(("127.0.0.1", 0))
except OSError: held = socket.socketpair()
try: named = socket.create_server("\\0-{word}", family=socket.AF_UNIX)
except OSError: pass
time.sleep(600)' {word} >/dev/null 2>&1 </dev/null &)
trap "" TERM HUP INT
"""
_KINDS = ("volume", "kept", "suspended", "plain", "rw", "review", "doors")
_OF_MOUNTS = ("bubblewrap", "nsjail", "docker", "podman", "nspawn")


def kinds(method: str) -> list[str]:
    """What this method can be asked for."""
    able = {"rw": _OF_MOUNTS, "doors": (*_OF_MOUNTS, "pid")}
    return [kind for kind in _KINDS if method in able.get(kind, (method,))]


@dataclass
class House:
    """A daemon that is killed and started again, and all that was asked of it."""

    made: Daemon
    traces: Traces
    workspace: Path
    rng: Random
    kills: Counter[str] = field(default_factory=Counter)
    safe: dict[str, str] = field(default_factory=dict)  # volume and file, by what it must hold

    async def one(self, client: Client, number: int) -> None:
        """Ask for something; what the daemon acknowledges of it is noted."""
        kind = self.rng.choice(kinds(self.traces.method))
        file = f"f{len(self.traces.ids)}-{number}"
        rest = self.rng.choice(("exit 0", "sleep 0.3; exit 0", f"sleep {self.traces.word}"))
        command = f"{_STUBBORN.format(word=self.traces.word)} echo {file} >> $HUTCH_AT/{file}; {rest}"
        volume = f"v{number}"
        asked = {
            "command": command,
            "volumes": [f"{volume}:/data"],
            "env": {"HUTCH_AT": "/data"},
            "timeout_s": 60,
        }
        asked |= {
            "kept": {"session_id": "new"},
            "rw": {"workspace": f"{self.workspace}:rw"},
            "review": {"workspace": f"{self.workspace}:review"},
            "doors": {"network": "local"},
        }.get(kind, {})
        with suppress(ServiceError, HTTPError):  # it was killed, or its volume is still held
            record = await client.run(RunRequest.model_validate(asked), 0)
            self.traces.ids |= {record.run_id, *([record.session_id] if record.session_id else [])}
            if kind == "suspended":
                await anyio.sleep(self.rng.random())
                await client.suspend_run(record.run_id)
            if kind == "kept" and self.rng.random() < 0.5:
                await client.suspend_session(record.session_id or "")
            self.note(await client.get_run(record.run_id, 2), volume, file)

    def note(self, record: RunRecord, volume: str, file: str) -> None:
        if (
            record.status == "exited"
            and record.exit_code == 0
            and not record.unsynced
            and not record.session_id
        ):
            self.safe[f"{volume}/{file}"] = file

    def kill_something(self) -> None:
        """A front program, what an engine runs for a container, what runs inside, or the keeper."""
        own = str(self.made.config.daemon.state / "keeper")
        fronts, inside = marked(self.traces.ids), saying(self.traces.word)
        engines = engines_of(self.made.process.pid) if self.made.process else []
        groups = {"front program": fronts, "engine": engines, "child": inside, "keeper": saying(own)}
        kind = self.rng.choice([kind for kind, group in groups.items() if group] or [""])
        self.traces.look()
        if kind:
            with suppress(ProcessLookupError):
                os.kill(self.rng.choice(list(groups[kind])), signal.SIGKILL)
                self.kills[kind] += 1

    async def round(self) -> None:
        """Several at once, and a kill or two at some instant."""
        with suppress(ServiceError, HTTPError, BaseExceptionGroup):
            async with self.made.client() as client, anyio.create_task_group() as group:
                for number in range(_AT_ONCE):
                    group.start_soon(self.one, client, number)
                for _ in range(self.rng.randrange(3)):
                    await anyio.sleep(self.rng.random() * 0.7)
                    self.kill_something()
                await anyio.sleep(self.rng.random() * 1.2)
                if self.rng.random() < 0.7:
                    self.kills["daemon"] += 1
                    await self.made.end(signal.SIGKILL)
                    group.cancel_scope.cancel()
        if self.made.process is None:
            await self.made.start()
        await self.learn()

    async def learn(self) -> None:
        """Know also what was asked without that the answer came."""
        async with self.made.client() as client:
            self.traces.ids |= {run.run_id for run in await client.list_runs(100)}
            sessions = (await client.list_sessions(limit=100)).sessions
            self.traces.ids |= {session.session_id for session in sessions}

    async def check_volumes(self) -> None:
        """What was acknowledged is there, whole; the volumes are free for a new run."""
        async with self.made.client() as client:
            await end_all(client)
            for path, content in self.safe.items():
                volume, _, file = path.partition("/")
                asked = ReadVolumeRequest(volume=volume, path=f"/{file}", limit=1 << 10)
                answer = await client.read_volume(asked)
                assert base64.b64decode(answer.data_base64 or "") == f"{content}\n".encode(), path
            for info in await client.list_volumes():
                assert (await client.check_volume(info.name)).problems == []
                done = await run(client, "true", volumes=[f"{info.name}:/data"])
                assert (done.status, done.unsynced) == ("exited", {}), done


async def end_all(client: Client) -> None:
    for session in (await client.list_sessions(limit=100)).sessions:
        if session.status in ("running", "suspended"):
            await client.stop_session(session.session_id)
    for record in await client.list_runs(100, live=True):
        with suppress(ServiceError):  # it has ended
            await client.stop_run(record.run_id, 0)


@contextmanager
def service() -> Generator[str]:
    """Something to reach through a door."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def repository(folder: Path) -> Path:
    """A workspace with something to protect, whose owner is that of the folder."""
    owner = folder.stat()
    subprocess.run(["git", "init", "-q", folder], check=True)
    (folder / "src").mkdir()
    (folder / "src/main.c").write_text("int main(void) { return 0; }\n")
    for path in folder.rglob("*"):
        os.chown(path, owner.st_uid, owner.st_gid)
    return folder


@pytest.mark.parametrize("place", PLACES, ids=label)
async def test_nothing_is_left_behind(place: tuple[str, str]) -> None:
    method, user = place[0], who(place[1])
    rng = chance(f"kills {place}")
    word = f"4{rng.randrange(10**8)}.{os.getpid()}"
    often, long = _RUNS.get(method, _OTHERS)
    runs = times(often, long=long)
    with service() as address:
        more = f'\n[network.local]\nhost_services = ["{address}"]\n'
        async with daemon_with(method, user, more) as made:
            traces = Traces(method, made.folder, word)
            house = House(made, traces, repository(made.folder.parent / "work"), rng)
            before = sorted(house.workspace.rglob("*"))
            for _ in range(-(-runs // _AT_ONCE)):
                await house.round()
            await house.check_volumes()
            assert await made.end() == 0
            assert await traces.left() == []
            assert sorted(house.workspace.rglob("*")) == before
            assert list((made.config.daemon.state / "reviews").glob("*")) == []
        seen = f"{len(traces.ids)} runs and sessions, {len(traces.namespaces)} namespaces"
        _log.info("%s: %s; killed: %s", label(place), seen, dict(house.kills))
