"""What an agent's events are worth, line by line: what it says, what it does, what fails. All harmless."""

from collections.abc import Iterator

from hutch.agents import (
    AgentEvent,
    Answered,
    Erred,
    FileChanged,
    PermissionAsked,
    Retrying,
    Said,
    SessionNamed,
    Spent,
    ToolEnded,
    ToolStarted,
)
from hutch_mcp_tools.text import harmless, one_line

_LINE = 160


def told(event: AgentEvent) -> Iterator[str]:
    """The lines that an event is worth."""
    match event:
        case SessionNamed(session_id, model):
            told = f", model {one_line(model, _LINE)}" if model else ""
            yield f"· its session {one_line(session_id, _LINE)}{told}"
        case Said(text):
            yield from harmless(text).strip().splitlines()
        case Retrying(attempt, of, wait_s, _, message):
            said = one_line(message, _LINE)
            yield f"… the model did not answer ({said}); try {attempt} of {of} in {wait_s:.0f} s"
        case Erred(message):
            yield f"! {one_line(message, _LINE)}"
        case ToolStarted() | ToolEnded() | FileChanged() | PermissionAsked():
            yield from _of_tools(event)
        case Spent() | Answered():
            pass


def _of_tools(event: ToolStarted | ToolEnded | FileChanged | PermissionAsked) -> Iterator[str]:
    match event:
        case ToolStarted(_, tool, summary):
            yield f"▸ {one_line(tool, _LINE)}: {one_line(summary, _LINE)}"
        case ToolEnded(_, failed, summary) if failed:
            yield f"  ✗ {one_line(summary, _LINE)}"
        case FileChanged(path):
            yield f"  ✎ {one_line(path, _LINE)}"
        case PermissionAsked(tool, summary):
            yield f"  ⊘ {one_line(tool, _LINE)}: not allowed by its own rules: {one_line(summary, _LINE)}"
        case ToolEnded():
            pass
