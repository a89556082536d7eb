"""Adapters by the word that a configuration has for them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from hutch.agents.adapter import Agent, Reading
from hutch.agents.claude import ClaudeCode
from hutch.agents.claude_events import ClaudeReading
from hutch.agents.codex import Codex
from hutch.agents.codex_events import CodexReading
from hutch.agents.command import CommandAgent
from hutch.agents.command_events import CommandReading
from hutch.agents.gemini import Gemini
from hutch.agents.gemini_events import GeminiReading
from hutch.agents.opencode import OpenCode
from hutch.agents.opencode_events import OpenCodeReading
from hutch.config import Agent as Settings
from hutch.errors import HutchError

# To tell a turn's lines again, whoever's turn it was
READINGS: Mapping[str, Callable[[], Reading]] = {
    "claude": ClaudeReading,
    "codex": CodexReading,
    "command": CommandReading,
    "gemini": GeminiReading,
    "opencode": OpenCodeReading,
}


def find_agent(name: str, settings: Settings) -> Agent:
    """Return the agent of `[agents.NAME]`. Raises HutchError `agent_missing`, `agent_invalid`."""
    return _FIND[settings.adapter](name, settings)


def _claude(_: str, settings: Settings) -> Agent:
    return ClaudeCode.find(_program(settings), settings.base_url)


def _codex(_: str, settings: Settings) -> Agent:
    return Codex.find(_program(settings), settings.base_url)


def _command(name: str, settings: Settings) -> Agent:
    return CommandAgent(name, settings.command, settings.resume, settings.session_pattern, settings.base_url)


def _gemini(_: str, settings: Settings) -> Agent:
    return Gemini.find(_program(settings), settings.base_url)


def _opencode(_: str, settings: Settings) -> Agent:
    return OpenCode.find(_program(settings), settings.base_url)


_FIND: Mapping[str, Callable[[str, Settings], Agent]] = {
    "claude": _claude,
    "codex": _codex,
    "command": _command,
    "gemini": _gemini,
    "opencode": _opencode,
}


def _program(settings: Settings) -> Path | None:
    """Return the program that the owner names; None: the adapter looks for it."""
    match settings.command:
        case ():
            return None
        case (str() as path,) if Path(path).is_absolute():
            return Path(path)
    raise HutchError(
        "agent_invalid",
        f"the command of the adapter {settings.adapter} is the path of its binary, not a list of words",
        'a program of another kind has adapter = "command"',
    )
