"""Turns that tests of real agents take: what the scripted model is to do, and what the events told of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio

from hutch.agents import AgentEvent, AgentTurn, McpServer, Spent, ToolEnded, ToolStarted
from support import adder

SKILL = {"greet": {"SKILL.md": "---\nname: greet\ndescription: how to greet an otter\n---\nSay hello.\n"}}
ADDER = McpServer(adder.COMMAND, {"WORD": "sum "})


@dataclass(frozen=True, slots=True)
class Turns:
    """Of one agent. `usage`: what the model says of each call. `new_id`: for one that is told its ids."""

    usage: Mapping[str, int]
    model: str | None = None
    new_id: Callable[[], str] = str

    def first(self, *steps: Mapping[str, Any]) -> AgentTurn:
        prompt = "Do it. SCRIPT: " + json.dumps([{"usage": self.usage, **step} for step in steps])
        return AgentTurn(prompt, self.new_id(), resumes=False, model=self.model)

    def again(self, session_id: str | None, *steps: Mapping[str, Any]) -> AgentTurn:
        assert session_id
        return replace(self.first(*steps), session_id=session_id, resumes=True)


def long(what: AgentTurn) -> AgentTurn:
    """The turn with a prompt of 300 kB."""
    return replace(what, prompt="word " * 60_000 + what.prompt)


def calls(events: Sequence[AgentEvent]) -> list[str]:
    """The ids of the tool calls, which the agent chooses."""
    return [event.call_id for event in events if isinstance(event, ToolStarted)]


def told(events: Sequence[AgentEvent]) -> list[AgentEvent]:
    """Without what a model's calls cost, and the ends of tool calls, which may come at any later point."""
    return [event for event in events if not isinstance(event, Spent | ToolEnded)]


def ends(events: Sequence[AgentEvent]) -> list[tuple[str, bool]]:
    """Each tool call that ended, and whether it failed."""
    return [(event.call_id, event.failed) for event in events if isinstance(event, ToolEnded)]


def answers(events: Sequence[AgentEvent]) -> list[str]:
    return [event.summary for event in events if isinstance(event, ToolEnded)]


async def until_there(path: Path) -> None:
    with anyio.fail_after(60):
        while not path.exists():
            await anyio.sleep(0.05)
