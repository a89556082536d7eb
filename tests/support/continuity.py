"""Agents whose conversations are cut off and go on: who they are, how they work and are killed."""

import base64
import json
import os
import signal
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from hutch.client import Client
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.agent_sandbox import gemini_program, opencode_binary
from support.container_engines import start_engine
from support.daemon import Daemon, model_config
from support.kept_methods import KNOWN, named
from support.left_behind import saying

LONG_S = 200
STORES = ("folder", "bucket")
METHODS = ("nsjail", "podman", "docker", "gvisor")  # besides bubblewrap: in a folder, as root, `HUTCH_LONG=1`
CUTS = (  # the ways to be cut off, each a test's
    "a second turn",
    "kill -9 of the agent",
    "kill -9 of the sandbox",
    "kill -9 of the daemon",
    "kill -9 of the process that takes the turn",
    "kill -9 of all of Hutch",
    "kill -9 in the very first turn",
    "the host is lost",
    "another method",
    "an earlier snapshot",
    "forks",
    "one writer",
)

NOT_SO: Mapping[tuple[str, str], str] = {  # by method: what there is nothing to cut off of
    ("gvisor", "kill -9 of the agent"): "its own kernel runs the agent, of which the host sees no process",
    (
        "docker",
        "the host is lost",
    ): "its containers are the engine's, which is not lost with it",
}


@dataclass(frozen=True, slots=True)
class AgentAtWork:
    """An agent that talks to the scripted model. `programs`: what its own process is called."""

    name: str
    title: str
    programs: tuple[str, ...]
    key: str  # the variable of the daemon that holds its credential, of which any will do
    table: Callable[[str], str] = lambda _: ""  # of the configuration, by the model's address

    @property
    def env(self) -> Mapping[str, str]:
        return {self.key: "sk-planted-canary"}

    def config(self, url: str) -> str:
        return model_config(url) + self.table(url)


def _codex(url: str) -> str:
    return f'[agents.codex]\nbase_url = "{url}/v1"\nnetwork = "model"\nmodel = "gpt-5.5"\n'


def _opencode(url: str) -> str:
    return (
        f'[agents.opencode]\ncommand = "{opencode_binary()}"\nbase_url = "{url}/v1"\n'
        'network = "model"\nsecrets = ["openai"]\nmodel = "mine/gpt-5.5"\n'
    )


def _gemini(url: str) -> str:
    return (
        f'[agents.gemini]\ncommand = "{gemini_program()}"\nbase_url = "{url}"\n'
        'network = "model"\nmodel = "gemini-2.5-pro"\n'
    )


AGENTS = (
    AgentAtWork("claude", "Claude Code", ("claude",), "ANTHROPIC_API_KEY"),
    AgentAtWork("codex", "Codex", ("codex",), "OPENAI_API_KEY", _codex),
    AgentAtWork("opencode", "OpenCode", ("opencode",), "OPENAI_API_KEY", _opencode),
    AgentAtWork("gemini", "Gemini CLI", ("node", "gemini"), "GEMINI_API_KEY", _gemini),
)


def method_config(method: str) -> str:
    """The part of a configuration that has everything run under a method of this name, whatever it holds."""
    start_engine(method)
    name = named(method)
    return f'\n[policy]\nmethod = "{name}"\nneeds = []\n[methods.{name}]\n{KNOWN[method].toml}\n'


def prompt(mark: str, *steps: Mapping[str, object]) -> str:
    """A prompt that the model can be asked about later: its log names the marks that it heard."""
    return f"Go on, {mark}. SCRIPT: {json.dumps([*steps, {'text': f'Done {mark}.'}])}"


def append(mark: str) -> Mapping[str, object]:
    """A step that leaves a line in the volume."""
    return {"shell": f"echo {mark} >> /workspace/journal"}


def heard(model_log: Path) -> set[str]:
    """The marks in what the model was told last."""
    return set(json.loads(model_log.read_text().splitlines()[-1])["marks"])


async def take_turn(client: Client, agent: str, mark: str, volume: str, **values: object) -> SessionRecord:
    """One whole turn, which must succeed and say so."""
    asked = {"agent": agent, "prompt": prompt(mark, append(mark)), "volume": volume, **values}
    session = await client.start_agent(AgentRequest.model_validate(asked), 45)
    while session.status in ("running", "queued"):
        session = await client.get_session(session.session_id, 45)
    ended = (session.status, session.error, session.last_message)
    assert ended == ("idle", None, f"Done {mark}."), ended
    return session


@dataclass(frozen=True, slots=True)
class Hanging:
    """A turn in the middle of a tool call, and the host's numbers of what makes it up."""

    session: SessionRecord
    tool: int | None  # None: a kernel of its own runs it, and the host sees no process

    def agent(self, programs: tuple[str, ...]) -> int:
        """The agent's own process: the topmost of its name, for it may start itself again."""
        assert self.tool is not None
        named = [pid for pid in _ancestors(self.tool) if _program(pid) in programs]
        assert named, [_program(pid) for pid in _ancestors(self.tool)]
        return named[-1]

    def sandbox(self, method: str) -> int:
        """The process that a sandbox stands with: around it, its first one, or the kernel of its own."""
        if self.tool is None:
            assert self.session.run_id is not None
            return next(pid for pid in saying(self.session.run_id) if _program(pid) == "runsc-sandbox")
        if method in ("docker", "podman"):
            return [pid for pid in _ancestors(self.tool) if _is_inside(pid)][-1]
        return next(pid for pid in _ancestors(self.tool) if not _is_inside(pid))


async def hang(client: Client, agent: str, mark: str, volume: str, *, is_seen: bool = True) -> Hanging:
    """Begin a turn and return when it is in a tool call that does not end by itself.

    What the host does not see tells it by the volume.
    """
    nap = f"5{os.getpid()}{anyio.current_time() % 1:.9f}"[:18]  # nobody else's
    work = {"shell": f"{append(mark)['shell']}; sleep {nap}"}
    asked = AgentRequest(agent=agent, prompt=prompt(mark, work), volume=volume)
    session = await client.start_agent(asked, 0)
    with anyio.fail_after(LONG_S):
        while not (found := _sleeping(nap)) and (is_seen or not await _has_written(client, volume, mark)):
            await anyio.sleep(0.05)
    return Hanging(await client.get_session(session.session_id, 0), found)


async def journal(client: Client, volume: str = "work") -> list[str]:
    """The lines that turns have left in the volume."""
    read = await client.read_volume(ReadVolumeRequest(volume=volume, path="/journal"))
    return base64.b64decode(read.data_base64 or "").decode().splitlines()


async def _has_written(client: Client, volume: str, mark: str) -> bool:
    try:
        return mark in await journal(client, volume)
    except ServiceError:
        return False  # there is no such file or volume yet


async def until_ended(client: Client, session: SessionRecord) -> SessionRecord:
    with anyio.fail_after(LONG_S):
        while (session := await client.get_session(session.session_id, 20)).status in ("running", "queued"):
            await anyio.sleep(0.05)
    return session


@asynccontextmanager
async def killed_and_back(made: Daemon) -> AsyncGenerator[Client]:
    """The daemon is killed, and another one takes its place."""
    await made.restart(signal.SIGKILL)
    async with made.client() as client:
        yield client


def _sleeping(nap: str) -> int | None:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if file.read_bytes().split(b"\0")[:2] == [b"sleep", nap.encode()]:
                return int(file.parent.name)
    return None


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        yield pid
        status = Path(f"/proc/{pid}/status").read_text()
        pid = int(status.partition("PPid:")[2].split()[0])


def _program(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]


def _is_inside(pid: int) -> bool:
    return Path(f"/proc/{pid}/ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()
