"""Claude Code: its binary, its command line, and where it keeps its conversations."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hutch.agents.adapter import GIVEN, AgentCommand, AgentTurn, Binding, Reading, invalid
from hutch.agents.beneath import Listing, has_file
from hutch.agents.binary import in_package, native_binary, on_path
from hutch.agents.claude_events import ClaudeReading
from hutch.agents.given import (
    INSTRUCTIONS,
    SERVERS,
    checked_model,
    endpoint,
    given_files,
    hosts_of,
    server_files,
)
from hutch.agents.stored import STATE, is_uuid, new_uuid, newest_first

_ANTHROPIC = "https://api.anthropic.com"
_INSIDE = PurePosixPath("/opt/agent/claude")
_CONFIG = "claude"  # in the volume's state folder; Claude calls it CLAUDE_CONFIG_DIR
_INSTALL = "beside Hutch, with: pip install 'hutch[claude]'"
_LOGIN = ".credentials.json"
_SECRETS = ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_AUTH_TOKEN")
# Its retries double from half a second: six give a busy service half a minute. Its own ten take three
# minutes, and are spent on a wrong key too.
_RETRIES = 6
_NONE = ("--dangerously-skip-permissions",)  # the sandbox around it is the boundary
# Its own sandbox holds its commands, its rules hold its other tools: edits in the working folder pass, what
# else would have to be asked is refused. Settings in the volume would be merged in, and open both; servers of
# MCP that it names would be started beside its sandbox.
_OWN = ("--permission-mode", "acceptEdits", "--setting-sources", "", "--strict-mcp-config")
_OWN_SANDBOX = {
    "enabled": True,
    "failIfUnavailable": True,
    "allowUnsandboxedCommands": False,
    "autoAllowBashIfSandboxed": True,
}


@dataclass(frozen=True, slots=True)
class ClaudeCode:
    """The native binary, run headless with its own permission prompts off: the sandbox is the boundary.

    Tried with 2.1.329. Inside, it is never root, for which it would refuse to drop its prompts.
    """

    binary: Path  # resolved: no part of it is a link
    base_url: str = ""  # empty: its maker's own
    max_retries: int = _RETRIES

    def __post_init__(self) -> None:
        if self.base_url:
            endpoint(self.base_url)

    @classmethod
    def find(cls, configured: Path | None = None, base_url: str = "") -> "ClaudeCode":
        """Locate the binary: as configured, else in the claude-agent-sdk wheel, else on PATH.

        Raises HutchError `agent_missing`, `agent_invalid`.
        """
        places = (*in_package("claude_agent_sdk", "_bundled", "claude"), *on_path("claude"))
        return cls(native_binary("Claude Code", _INSTALL, configured, places), base_url)

    @property
    def name(self) -> str:
        return "claude"

    @property
    def secrets(self) -> tuple[str, ...]:
        return _SECRETS

    def command(self, turn: AgentTurn) -> AgentCommand:
        if turn.protects_itself and turn.servers:  # it would start them beside its own sandbox, on this host
            raise invalid("MCP servers where no sandbox is", "choose a method that makes a sandbox")
        given = given_files(turn, ".claude/skills") | server_files(turn)
        return AgentCommand(
            argv=(str(_INSIDE), *_arguments(turn, given)),
            env=self._environment(turn),
            stdin=turn.prompt.encode("utf-8", "replace"),
            given=given,
            bindings=(Binding(self.binary, _INSIDE),),
            hosts=hosts_of(turn, self.base_url or _ANTHROPIC),
        )

    def new_session_id(self) -> str:
        return new_uuid()

    def reading(self, turn: AgentTurn, folder: Path) -> Reading:
        return ClaudeReading()

    def has_login(self, folder: Path) -> bool:
        return has_file(folder, STATE, _CONFIG, _LOGIN)

    def sessions(self, folder: Path) -> tuple[str, ...]:
        return newest_first(_transcripts(folder))

    def _environment(self, turn: AgentTurn) -> dict[str, str]:
        env = {
            "CLAUDE_CONFIG_DIR": str(turn.volume / STATE / _CONFIG),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",  # then it talks to the model and nobody else
            # The prompt is on disk before the model hears of it: without this a kill in the first tenth of a
            # second leaves no conversation to resume.
            "CLAUDE_CODE_EAGER_FLUSH": "1",
            "CLAUDE_CODE_MAX_RETRIES": str(self.max_retries),
            "CLAUDE_CODE_STARTUP_FAILURE_RESULTS": "1",  # a refusal to start becomes an event
            "DISABLE_AUTOUPDATER": "1",
            "TERM": "dumb",
        }
        if self.base_url:
            env["ANTHROPIC_BASE_URL"] = self.base_url
        return env


def _arguments(turn: AgentTurn, given: dict[str, bytes]) -> Iterator[str]:
    yield from ("-p", *(_OWN if turn.protects_itself else _NONE))
    yield from ("--output-format", "stream-json", "--verbose")
    yield from ("--resume" if turn.resumes else "--session-id", _checked_id(turn.session_id))
    # By default it deletes transcripts after 30 days, in any run that lasts a few seconds.
    settings: dict[str, object] = {"cleanupPeriodDays": 3650}
    if turn.protects_itself:
        settings["sandbox"] = _OWN_SANDBOX
    yield from ("--settings", json.dumps(settings, separators=(",", ":")))
    # By default the first turn's system prompt is frozen, and later instructions are silently ignored.
    yield from ("--system-prompt-snapshot", "off")
    yield from _beside(turn, given)


def _beside(turn: AgentTurn, given: dict[str, bytes]) -> Iterator[str]:
    if INSTRUCTIONS in given:
        yield from ("--append-system-prompt-file", str(GIVEN / INSTRUCTIONS))
    if SERVERS in given:  # these and no others, whatever the workspace names
        yield from ("--mcp-config", str(GIVEN / SERVERS), "--strict-mcp-config")
    if turn.output_schema is not None:
        yield from ("--json-schema", json.dumps(turn.output_schema, separators=(",", ":")))
    if turn.skills:
        yield from ("--add-dir", str(GIVEN))
    if turn.model is not None:
        yield from ("--model", checked_model(turn.model))
    if turn.max_turns is not None:
        yield from ("--max-turns", str(turn.max_turns))
    if turn.budget_usd is not None:
        yield from ("--max-budget-usd", str(turn.budget_usd))


def _checked_id(session_id: str) -> str:
    if not is_uuid(session_id):
        raise invalid(f"agent session id {session_id[:80]!r}", "Claude Code's ids are lower-case UUIDs")
    return session_id


def _transcripts(folder: Path) -> Iterator[tuple[float, str]]:
    """Yield (modified, session id) of every `.hutch/claude/projects/*/<uuid>.jsonl`."""
    projects, listing = (STATE, _CONFIG, "projects"), Listing(folder)
    for project in listing.folders(*projects):
        for name, status in listing.files(*projects, project):
            session_id = name.removesuffix(".jsonl")
            if is_uuid(session_id) and status.st_size:
                yield status.st_mtime, session_id
