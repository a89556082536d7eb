"""The ways that an agent can be given a turn: by itself, in a bare sandbox, in its own, and by Hutch."""

import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import anyio
from anyio.abc import ByteReceiveStream

import _measure  # noqa: F401 - makes the tests' support importable
from _phases import durations
from _watching import Watch, is_of_this_host
from hutch.agents import GIVEN, Agent, AgentCommand, AgentTurn, give, lay_state
from hutch.client import Client
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.session_records import SessionRecord
from support.daemon import Daemon

_WORKSPACE = PurePosixPath("/workspace")
# The namespaces that Hutch asks for but the network's: by itself it would have no way to its model
_BARE = (
    "--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup --uid 1000 --gid 1000 "
    "--cap-drop ALL --die-with-parent --new-session --ro-bind /usr /usr --symlink usr/bin /bin "
    "--symlink usr/lib /lib --symlink usr/lib64 /lib64 --ro-bind /etc /etc --proc /proc --dev /dev "
    "--tmpfs /tmp --dir /home/agent --chdir /workspace --clearenv"
)
_BYPASS = "--dangerously-bypass-approvals-and-sandbox"
_TEXT = "It is done."
Take = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Way:
    """`take` takes one turn and raises where it is not done; `watch` begins to look at what takes it."""

    name: str
    take: Take
    watch: Callable[[], Watch]


def prompt(workspace: PurePosixPath | Path) -> str:
    """Write a file, run a command, say so: three calls of the model, which answers at once."""
    steps = [
        {"write": f"{workspace}/note-{os.urandom(4).hex()}.txt", "content": "noted\n" * 100},
        {"shell": "cat note-*.txt | wc -c"},
        {"text": _TEXT},
    ]
    return f"Take a note. SCRIPT: {json.dumps(steps)}"


@dataclass
class Alone:
    """The agent as a process of ours, by the words and the files that Hutch would start it with."""

    agent: Agent
    model: str | None
    folder: Path  # what a volume is to Hutch
    env: Mapping[str, str]
    bwrap: str = ""  # around it; empty: nothing is
    is_in_its_own: bool = False
    _pid: int = 0

    def watch(self) -> Watch:
        return Watch(lambda: [self._pid] if self._pid else [], lambda _: False)

    async def __call__(self) -> None:
        place = _WORKSPACE if self.bwrap else PurePosixPath(self.folder)
        turn = AgentTurn(
            prompt(place),
            self.agent.new_session_id(),
            resumes=False,
            volume=place,
            model=self.model,
            protects_itself=self.is_in_its_own and self.agent.name == "claude",
        )
        command = self.agent.command(turn)
        given = self.folder.with_name(f"given-{os.urandom(6).hex()}")
        given.mkdir()
        give(given, command.given)
        inside = self._inside if self.bwrap else self._outside
        argv, env = inside(command, given)
        reading = self.agent.reading(turn, self.folder)
        with anyio.fail_after(120):
            async with await anyio.open_process(argv, cwd=self.folder, env=env) as process:
                self._pid = process.pid
                assert process.stdin
                assert process.stdout
                await process.stdin.send(command.stdin)
                await process.stdin.aclose()
                async with anyio.create_task_group() as group:
                    said = bytearray()
                    group.start_soon(_collect, process.stderr, said)
                    async for chunk in process.stdout:
                        reading.feed(chunk)
                code = await process.wait()
        self._pid = 0
        outcome = reading.finish(exit_code=code, stderr=said.decode(errors="replace"))
        assert outcome.text == _TEXT, (outcome.error, said.decode(errors="replace")[-500:])
        shutil.rmtree(given)

    def _inside(self, command: AgentCommand, given: Path) -> tuple[list[str], Mapping[str, str]]:
        lay_state(self.folder, command.state)
        binds = [(self.folder, _WORKSPACE, "--bind"), (given, GIVEN, "--ro-bind")]
        binds += [(binding.source, binding.target, "--ro-bind") for binding in command.bindings]
        words = [word for source, target, how in binds for word in (how, str(source), str(target))]
        env = {**self.env, **command.env, "HOME": "/home/agent"}
        words += [word for name, value in env.items() for word in ("--setenv", name, value)]
        return [self.bwrap, *_BARE.split(), *words, "--", *command.argv], os.environ

    def _outside(self, command: AgentCommand, given: Path) -> tuple[list[str], Mapping[str, str]]:
        here = {str(binding.target): str(binding.source) for binding in command.bindings}
        here |= {str(GIVEN): str(given)}

        def at_home(text: str) -> str:
            for inside, outside in here.items():
                text = text.replace(inside, outside)
            return text

        links = {
            name: PurePosixPath(at_home(str(laid))) if isinstance(laid, PurePosixPath) else laid
            for name, laid in command.state.items()
        }
        lay_state(self.folder, links)
        argv = [at_home(word) for word in command.argv]
        if self.is_in_its_own and _BYPASS in argv:
            at = argv.index(_BYPASS)
            argv[at : at + 1] = ["--sandbox", "workspace-write"]
        command_env = {name: at_home(value) for name, value in command.env.items()}
        # Outside a sandbox Claude Code would not let root drop its prompts
        return argv, {"HOME": str(self.folder), **self.env, **command_env, "IS_SANDBOX": "1"}


async def _collect(stream: ByteReceiveStream | None, into: bytearray) -> None:
    assert stream
    async for chunk in stream:
        into += chunk


@dataclass
class Hutch:
    """The agent in a daemon's sandbox, asked for as any client does."""

    agent: str
    model: str | None
    volume: str
    made: Daemon
    client: Client

    def watch(self) -> Watch:
        assert self.made.process
        roots = [self.made.process.pid]
        return Watch(lambda: roots, is_of_this_host)

    async def __call__(self) -> None:
        await self._ended(await self.client.start_agent(self._request(), 60))

    async def phases(self) -> dict[str, float]:
        """A turn's seconds by what they went to."""
        asked_at = time.time()
        session = await self.client.start_agent(self._request(), 0)  # it is answered when the sandbox runs
        events = self.made.folder / "events"
        os.link(self.made.config.daemon.state / "jobs" / (session.run_id or "") / "events", events)
        await self._ended(session)  # and with the turn goes its job
        answered_at = time.time()
        told = [json.loads(line) for line in events.read_bytes().splitlines()]
        events.unlink()
        return durations(asked_at, told, answered_at)

    def _request(self) -> AgentRequest:
        return AgentRequest(
            agent=self.agent,
            prompt=prompt(_WORKSPACE),
            volume=self.volume,
            model=self.model,
            resume=False,
        )

    async def _ended(self, session: SessionRecord) -> None:
        while session.status in ("queued", "running"):
            session = await self.client.get_session(session.session_id, 60)
        assert (session.status, session.last_message) == ("idle", _TEXT), session
