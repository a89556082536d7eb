"""Codex: its binary, its command line, its configuration for a turn, and where it keeps its conversations."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import tomlkit

from hutch.agents.adapter import GIVEN, AgentCommand, AgentTurn, Binding, McpServer, Reading, invalid
from hutch.agents.beneath import Listing, folder_beneath, read_end
from hutch.agents.binary import in_package, native_binary, on_path
from hutch.agents.codex_events import CodexReading, thread_total
from hutch.agents.events import Usage
from hutch.agents.given import (
    INSTRUCTIONS,
    SCHEMA,
    checked_model,
    checked_servers,
    endpoint,
    given_files,
    hosts_of,
    prompt_with_instructions,
    refuse_unheld,
)
from hutch.agents.stored import STATE, is_uuid, newest_first
from hutch.errors import HutchError

_OPENAI = "https://api.openai.com/v1"
_INSTALL = "beside Hutch, with: pip install 'hutch[codex]'"
_KEY = "OPENAI_API_KEY"
_INSIDE = PurePosixPath("/opt/agent/codex")
_HOME = "codex"  # in the volume's state folder; Codex calls it CODEX_HOME
_PROFILE = "hutch"  # a layer of configuration over the user's own
_SETTINGS = f"{_PROFILE}.config.toml"
_SKILLS = "skills"
_ROLLOUT = re.compile(r"rollout-.*-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.jsonl", re.ASCII)
_BESIDE = ("codex-code-mode-host",)  # newer models' commands are run by it
_TAIL = 4 << 20  # bytes of a rollout in which its last count of tokens is looked for
# A busy service gets half a minute: its waits double from a fifth of a second
_RETRIES = {"request_max_retries": 2, "stream_max_retries": 6, "stream_idle_timeout_ms": 300_000}


@dataclass(frozen=True, slots=True)
class Codex:
    """The native binary, run headless with its own approvals and sandbox off: the sandbox is the boundary.

    Tried with 0.163.0.
    """

    binary: Path  # resolved: no part of it is a link
    base_url: str = ""  # with its "/v1"; empty: its maker's own

    def __post_init__(self) -> None:
        if self.base_url:
            endpoint(self.base_url)

    @classmethod
    def find(cls, configured: Path | None = None, base_url: str = "") -> "Codex":
        """Locate the binary: as configured, else in the openai-codex-cli-bin wheel, else on PATH.

        Raises HutchError `agent_missing`, `agent_invalid`.
        """
        places = (*in_package("codex_cli_bin", "bin", "codex"), *on_path("codex"))
        return cls(native_binary("Codex", _INSTALL, configured, places), base_url)

    @property
    def name(self) -> str:
        return "codex"

    @property
    def secrets(self) -> tuple[str, ...]:
        return (_KEY,)

    def new_session_id(self) -> str:
        return ""

    def command(self, turn: AgentTurn) -> AgentCommand:
        _refuse(turn)
        given = given_files(turn, _SKILLS) | {_SETTINGS: self._settings(turn)}
        given.pop(INSTRUCTIONS, None)
        return AgentCommand(
            argv=(str(_INSIDE / "bin" / "codex"), *_arguments(turn)),
            env={
                "CODEX_HOME": str(turn.volume / STATE / _HOME),
                # Indexes that hold absolute paths: in a volume at another place they lead it astray
                "CODEX_SQLITE_HOME": "/tmp/codex-sqlite",  # noqa: S108 - the sandbox's own
                "TERM": "dumb",
            },
            stdin=prompt_with_instructions(turn).encode("utf-8", "replace"),
            given=given,
            bindings=self._bindings(),
            hosts=hosts_of(turn, self.base_url or _OPENAI),
            state={
                _HOME: None,
                f"{_HOME}/{_SETTINGS}": GIVEN / _SETTINGS,
                f"{_HOME}/skills/hutch-given": GIVEN / _SKILLS,
            },
        )

    def reading(self, turn: AgentTurn, folder: Path) -> Reading:
        before = _total(folder, turn.session_id) if turn.resumes else Usage()
        return CodexReading(turn.model or "", before)

    def has_login(self, folder: Path) -> bool:
        return False  # an account's login needs other hosts than a key; only keys are served

    def sessions(self, folder: Path) -> tuple[str, ...]:
        return newest_first((modified, session_id) for modified, session_id, _ in _rollouts(folder))

    def _bindings(self) -> tuple[Binding, ...]:
        package = self.binary.parent.parent
        if (package / "codex-package.json").is_file():
            return (Binding(package, _INSIDE),)
        beside = [self.binary.with_name(name) for name in _BESIDE]
        files = (self.binary, *(path for path in beside if path.is_file()))
        return tuple(
            Binding(path, _INSIDE / "bin" / ("codex" if path == self.binary else path.name)) for path in files
        )

    def _settings(self, turn: AgentTurn) -> bytes:
        """Return a configuration file: a provider of our own is asked by plain HTTP, and nobody besides."""
        settings: dict[str, object] = {
            "model_provider": _PROFILE,
            "check_for_update_on_startup": False,
            "model_providers": {
                _PROFILE: {
                    "name": "OpenAI",
                    "base_url": self.base_url or _OPENAI,
                    "env_key": _KEY,
                    "wire_api": "responses",
                    **_RETRIES,
                }
            },
            "analytics": {"enabled": False},
            "features": {"plugins": False},
        }
        servers = {name: _server(server) for name, server in checked_servers(turn)}
        return tomlkit.dumps(settings | ({"mcp_servers": servers} if servers else {})).encode()


def _refuse(turn: AgentTurn) -> None:
    refuse_unheld(turn, "Codex")
    if turn.max_turns is not None:
        raise invalid(
            "max_turns",
            "Codex has no such bound; use --max-minutes, or --budget-requests for calls of its model",
        )
    if turn.resumes and not is_uuid(turn.session_id):
        raise invalid(f"agent session id {turn.session_id[:80]!r}", "Codex' ids are lower-case UUIDs")


def _arguments(turn: AgentTurn) -> Iterator[str]:
    yield from ("exec", "--profile", _PROFILE)
    if turn.resumes:
        yield from ("resume", turn.session_id)
    yield from ("--json", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check")
    if turn.model is not None:
        yield from ("--model", checked_model(turn.model))
    if turn.output_schema is not None:
        yield from ("--output-schema", str(GIVEN / SCHEMA))
    yield "-"


def _server(server: McpServer) -> dict[str, object]:
    # Required: it would go on without one that does not start, and tell nobody
    if server.url:
        return {"url": server.url, "http_headers": dict(server.headers), "required": True}
    program, *args = server.command
    return {"command": program, "args": args, "env": dict(server.env), "required": True}


def _rollouts(folder: Path) -> Iterator[tuple[float, str, tuple[str, ...]]]:
    """Yield (modified, session id, path) of every `.hutch/codex/sessions/YEAR/MONTH/DAY/rollout-*.jsonl`."""
    top, listing = (STATE, _HOME, "sessions"), Listing(folder)
    for year in listing.folders(*top):
        for month in listing.folders(*top, year):
            for day in listing.folders(*top, year, month):
                for name, status in listing.files(*top, year, month, day):
                    found = _ROLLOUT.fullmatch(name)
                    if found and status.st_size:
                        yield status.st_mtime, found[1], (*top, year, month, day, name)


def _total(folder: Path, session_id: str) -> Usage:
    """Return what a conversation has used before this turn, as its own file says."""
    try:
        newest = max(each for each in _rollouts(folder) if each[1] == session_id)
        *folders, name = newest[2]
        with folder_beneath(folder, *folders) as fd:
            end = read_end(fd, name, _TAIL)
    except (OSError, ValueError, HutchError):
        return Usage(is_complete=False)
    return thread_total(end) or Usage(is_complete=len(end) < _TAIL)
