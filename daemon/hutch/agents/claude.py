"""Claude Code: its binary, its command line, and where it keeps its conversations."""

import importlib.util
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from hutch.agents.adapter import GIVEN, AgentCommand, AgentTurn, Binding, Reading
from hutch.agents.beneath import folder_beneath
from hutch.agents.claude_events import ClaudeReading
from hutch.agents.stored import STATE, is_session_id
from hutch.errors import HutchError

_ANTHROPIC = "https://api.anthropic.com"
_INSIDE = PurePosixPath("/opt/agent/claude")
_CONFIG = "claude"  # in the volume's state folder; Claude calls it CLAUDE_CONFIG_DIR
_INSTRUCTIONS = "instructions.md"
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
_MODEL = re.compile(r"[A-Za-z0-9][\w.:/@\[\]-]{0,127}", re.ASCII)
_SKILL = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_GIVEN_BYTES = 16 << 20
_NATIVE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")  # ELF, Mach-O, Mach-O of several machines
_MAX_ENTRIES = 1000  # of one folder; there is a handful, and more is somebody's attack


@dataclass(frozen=True, slots=True)
class ClaudeCode:
    """The native binary, run headless with its own permission prompts off: the sandbox is the boundary.

    Tried with 2.1.329. Inside, it is never root, for which it would refuse to drop its prompts.
    """

    binary: Path  # resolved: no part of it is a link
    base_url: str = _ANTHROPIC
    max_retries: int = _RETRIES

    def __post_init__(self) -> None:
        _endpoint(self.base_url)

    @classmethod
    def find(cls, configured: Path | None = None, *, base_url: str = _ANTHROPIC) -> "ClaudeCode":
        """Locate the binary: as configured, else in the claude-agent-sdk wheel, else on PATH.

        Raises HutchError `agent_missing`, `agent_invalid`.
        """
        for path in [configured] if configured else _places():
            if _is_native(path):
                return cls(path.resolve(), base_url)
        where = f"'{configured}' is not its native binary" if configured else "it is not installed"
        raise HutchError(
            "agent_missing",
            f"Claude Code was not found: {where}",
            "install it beside Hutch with: pip install 'hutch[claude]'",
        )

    @property
    def name(self) -> str:
        return "claude"

    @property
    def secrets(self) -> tuple[str, ...]:
        return _SECRETS

    def command(self, turn: AgentTurn) -> AgentCommand:
        given = _given(turn)
        return AgentCommand(
            argv=(str(_INSIDE), *_arguments(turn, given)),
            env=self._environment(turn),
            stdin=turn.prompt.encode("utf-8", "replace"),
            given=given,
            bindings=(Binding(self.binary, _INSIDE),),
            hosts=(_endpoint(self.base_url),),
        )

    def reading(self) -> Reading:
        return ClaudeReading()

    def has_login(self, folder: Path) -> bool:
        return any(name == _LOGIN for name, _, _ in _entries(folder))

    def sessions(self, folder: Path) -> tuple[str, ...]:
        found = sorted(_transcripts(folder), reverse=True)
        return tuple(dict.fromkeys(session_id for _, session_id in found))

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
        if self.base_url != _ANTHROPIC:
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
    if _INSTRUCTIONS in given:
        yield from ("--append-system-prompt-file", str(GIVEN / _INSTRUCTIONS))
    if turn.skills:
        yield from ("--add-dir", str(GIVEN))
    if turn.model is not None:
        yield from ("--model", _checked_model(turn.model))
    if turn.max_turns is not None:
        yield from ("--max-turns", str(turn.max_turns))
    if turn.budget_usd is not None:
        yield from ("--max-budget-usd", str(turn.budget_usd))


def _given(turn: AgentTurn) -> dict[str, bytes]:
    given: dict[str, bytes] = {}
    if turn.instructions:
        given[_INSTRUCTIONS] = turn.instructions.encode("utf-8", "replace")
    for skill, files in turn.skills.items():
        if not _SKILL.fullmatch(skill):
            raise _invalid(f"skill name {skill[:80]!r}", "use a-z, 0-9, '-' and '_', at most 64 of them")
        if "SKILL.md" not in files:
            raise _invalid(f"skill '{skill}' without a SKILL.md", "a skill is a folder with a SKILL.md in it")
        for path, text in files.items():
            given[f".claude/skills/{skill}/{_checked_path(skill, path)}"] = text.encode("utf-8", "replace")
    if sum(map(len, given.values())) > _GIVEN_BYTES:
        raise _invalid("instructions and skills over 16 MiB", "put large files into the volume instead")
    return given


def _checked_path(skill: str, path: str) -> str:
    parts = path.split("/")
    if len(path) > 255 or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise _invalid(
            f"path {path[:80]!r} in skill '{skill}'", "use a plain relative path, as in 'data/a.txt'"
        )
    return path


def _checked_id(session_id: str) -> str:
    if not is_session_id(session_id):
        raise _invalid(f"agent session id {session_id[:80]!r}", "Claude Code's ids are lower-case UUIDs")
    return session_id


def _checked_model(model: str) -> str:
    if not _MODEL.fullmatch(model):
        raise _invalid(f"model {model[:80]!r}", "use a model's name, as in 'opus' or 'claude-opus-5-5'")
    return model


def _invalid(what: str, hint: str) -> HutchError:
    return HutchError("turn_invalid", f"{what} cannot be used", hint)


def _endpoint(base_url: str) -> str:
    """Return the "host:port" of a base URL. Raises HutchError `agent_invalid`."""
    try:
        url = urlsplit(base_url)
        host, port = url.hostname, url.port or {"http": 80, "https": 443}[url.scheme]
    except (ValueError, KeyError):
        host, port = None, 0
    if not host or "@" in base_url:
        raise HutchError(
            "agent_invalid",
            f"base URL {base_url[:200]!r} cannot be used",
            "it is 'https://host[:port][/path]', with no user name or password in it",
        )
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _places() -> Iterator[Path]:
    sdk = importlib.util.find_spec("claude_agent_sdk")
    if sdk is not None and sdk.origin is not None:
        yield Path(sdk.origin).parent / "_bundled" / "claude"
    on_path = shutil.which("claude")
    if on_path is not None:
        yield Path(on_path)


def _is_native(path: Path) -> bool:
    """Whether it can run where nothing else is installed: npm's `claude` may be a script that wants Node."""
    try:
        with path.open("rb") as file:
            return file.read(4) in _NATIVE and os.access(path, os.X_OK)
    except OSError:
        return False


def _transcripts(folder: Path) -> Iterator[tuple[float, str]]:
    """Yield (modified, session id) of every `.hutch/claude/projects/*/<uuid>.jsonl`."""
    for project, is_folder, _ in _entries(folder, "projects"):
        if is_folder:
            for name, _, status in _entries(folder, "projects", project):
                session_id = name.removesuffix(".jsonl")
                if is_session_id(session_id) and stat.S_ISREG(status.st_mode) and status.st_size:
                    yield status.st_mtime, session_id


def _entries(folder: Path, *names: str) -> list[tuple[str, bool, os.stat_result]]:
    """List (name, is a folder, status) in one of Claude's folders; empty if it cannot be read."""
    try:
        with folder_beneath(folder, STATE, _CONFIG, *names) as fd, os.scandir(fd) as entries:
            return [
                (entry.name, entry.is_dir(follow_symlinks=False), entry.stat(follow_symlinks=False))
                for entry in islice(entries, _MAX_ENTRIES)
            ]
    except OSError:
        return []
