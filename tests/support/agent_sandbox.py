"""A real agent in a real sandbox, its only way out a door to the scripted model."""

import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from subprocess import DEVNULL, PIPE

import anyio
from anyio.abc import ByteReceiveStream, SocketStream

from hutch.agents import (
    GIVEN,
    Agent,
    AgentEvent,
    AgentTurn,
    ClaudeCode,
    Codex,
    Outcome,
    Reading,
    give,
    lay_state,
)
from hutch.egress import Connection, InForce, open_ways
from hutch.errors import HutchError
from hutch_launchers.launcher import SandboxProcess
from hutch_launchers.methods.bubblewrap.launcher import BubblewrapLauncher
from hutch_launchers.spec import Command, Limits, Mount, SandboxSpec
from support.needs import need
from support.networks import network

ROOT = Path(__file__).parents[2]
NODE_AGENTS = ROOT / ".cache/node-agents/node_modules"
MODEL = "claude-opus-5-5"
TURN = {"input": 1000, "output": 50, "cache_read": 200, "cache_write": 30}
WORKSPACE = PurePosixPath("/workspace")
ENV = {"HOME": "/home/agent", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
KEY = {"ANTHROPIC_API_KEY": "any word"}


def claude(base_url: str, *, max_retries: int = 1) -> ClaudeCode:
    """The agent, or the reason to skip."""
    try:
        found = ClaudeCode.find(base_url=base_url)
    except HutchError as error:
        need("agents", False, error.message, error.hint)
        raise
    return ClaudeCode(found.binary, found.base_url, max_retries)


def codex(base_url: str) -> Codex:
    """The agent, or the reason to skip."""
    try:
        return Codex.find(base_url=base_url)
    except HutchError as error:
        need("agents", False, error.message, error.hint)
        raise


def opencode_binary() -> Path:
    """OpenCode's, or the reason to skip."""
    binary = NODE_AGENTS / "opencode-linux-x64/bin/opencode"
    need("agents", binary.exists(), "OpenCode", "scripts/install-node-tools")
    return binary


def gemini_program() -> Path:
    """Gemini CLI's, or the reason to skip."""
    program = NODE_AGENTS / "@google/gemini-cli/bundle/gemini.js"
    need("agents", program.exists(), "Gemini CLI", "scripts/install-node-tools")
    return program


@dataclass
class Model:
    """The scripted model behind a recorder: `asked` is all that was sent to it."""

    folder: Path
    url: str
    asked: bytearray = field(default_factory=bytearray)
    heard: anyio.Event = field(default_factory=anyio.Event)  # set, and made anew, when more is asked
    connections: list[Connection] = field(default_factory=list)


@asynccontextmanager
async def scripted_model(folder: Path) -> AsyncGenerator[Model]:
    folder.mkdir()
    async with AsyncExitStack() as stack:
        script = [
            sys.executable,
            str(ROOT / "scripts/scripted_model.py"),
            "--unix",
            str(folder / "model.sock"),
        ]
        process = await anyio.open_process(script, stdin=DEVNULL, stdout=PIPE, stderr=None)
        await stack.enter_async_context(process)
        stack.callback(process.kill)
        assert process.stdout is not None
        await process.stdout.receive()  # from then on it answers
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        await stack.enter_async_context(listener)
        model = Model(folder, "http://{}:{}".format(*listener.extra(anyio.abc.SocketAttribute.local_address)))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(listener.serve, lambda client: _record(model, client))
        yield model
        tasks.cancel_scope.cancel()


async def _record(model: Model, client: SocketStream) -> None:
    async def ask() -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for chunk in client:
                model.asked += chunk
                model.heard.set()
                model.heard = anyio.Event()
                await real.send(chunk)
        tasks.cancel_scope.cancel()

    real = await anyio.connect_unix(model.folder / "model.sock")
    async with client, real, anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for chunk in real:
                await client.send(chunk)
        tasks.cancel_scope.cancel()


@dataclass
class Turn:
    """A turn at work."""

    process: SandboxProcess
    reading: Reading
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    events: list[AgentEvent] = field(default_factory=list)

    async def until(self, wanted: Callable[[AgentEvent], bool]) -> None:
        async for chunk in self.process.stdout:
            self._take(chunk)
            if any(wanted(event) for event in self.events):
                return
        raise AssertionError(f"it ended before that: {self.events}")

    async def kill(self) -> Outcome:
        """Kill -9, as from outside: the whole sandbox is gone at once."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        return await self.end()

    async def end(self) -> Outcome:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_collect, self.process.stderr, self.stderr)
            async for chunk in self.process.stdout:
                self._take(chunk)
        status = await self.process.wait()
        return self.reading.finish(exit_code=status.code, stderr=self.stderr.decode())

    def _take(self, chunk: bytes) -> None:
        self.stdout += chunk
        self.events += self.reading.feed(chunk)


async def run(
    model: Model, volume: Path, agent: Agent, what: AgentTurn, secrets: Mapping[str, str] = KEY
) -> tuple[list[AgentEvent], Outcome]:
    """Take a turn to its end."""
    async with turn(model, volume, agent, what, secrets) as at_work:
        outcome = await at_work.end()
        return at_work.events, outcome


async def _collect(stream: ByteReceiveStream, into: bytearray) -> None:
    async for chunk in stream:
        into += chunk


@asynccontextmanager
async def turn(
    model: Model, volume: Path, agent: Agent, what: AgentTurn, secrets: Mapping[str, str] = KEY
) -> AsyncGenerator[Turn]:
    volume.mkdir(exist_ok=True)
    private = model.folder / f"given-{os.urandom(6).hex()}"
    private.mkdir()
    command = agent.command(what)
    give(private, command.given)
    lay_state(volume, command.state)
    mounts = (
        Mount(volume, what.volume, writable=True),
        *(Mount(binding.source, binding.target) for binding in command.bindings),
        Mount(private, GIVEN),
    )
    granted = InForce(network(services=command.hosts))
    start = Command(command.argv, what.volume, {**ENV, **command.env, **secrets})
    async with open_ways(granted, private.name, model.folder, model.connections.append) as endpoint:
        spec = SandboxSpec(private.name, start, mounts, Limits(wall_s=60), endpoint, frozenset())
        async with BubblewrapLauncher().launch(spec) as process:
            with suppress(anyio.BrokenResourceError):
                await process.stdin.send(command.stdin)
            await process.stdin.aclose()
            yield Turn(process, agent.reading(what, volume))
