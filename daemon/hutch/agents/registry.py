"""Adapters by the word that a configuration has for them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from hutch.agents.adapter import Agent, Reading
from hutch.agents.claude import ClaudeCode
from hutch.agents.claude_events import ClaudeReading
from hutch.agents.codex import Codex
from hutch.agents.codex_events import CodexReading
from hutch.config import Agent as Settings

# To tell a turn's lines again, whoever's turn it was
READINGS: Mapping[str, Callable[[], Reading]] = {"claude": ClaudeReading, "codex": CodexReading}


def find_agent(name: str, settings: Settings) -> Agent:
    """Return the agent of `[agents.NAME]`. Raises HutchError `agent_missing`, `agent_invalid`."""
    return _FIND[settings.adapter](name, settings)


def _claude(_: str, settings: Settings) -> Agent:
    return ClaudeCode.find(_program(settings), settings.base_url)


def _codex(_: str, settings: Settings) -> Agent:
    return Codex.find(_program(settings), settings.base_url)


_FIND: Mapping[str, Callable[[str, Settings], Agent]] = {"claude": _claude, "codex": _codex}


def _program(settings: Settings) -> Path | None:
    """Return the program that the owner names; None: the adapter looks for it."""
    return settings.command if settings.command != Path() else None
