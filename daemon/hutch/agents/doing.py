"""What an agent does now, in one line, from its events. Pure."""

from hutch.agents.events import AgentEvent, Erred, Retrying, Said, SessionNamed, ToolEnded, ToolStarted

_THINKS = "its model is at work"


def doing(event: AgentEvent) -> str | None:
    """Return what it does from this event on, in hostile text; None: what it did before."""
    match event:
        case SessionNamed() | ToolEnded():
            return _THINKS
        case Said(text):
            return f"says: {text}"
        case ToolStarted(_, tool, summary):
            return f"{tool}: {summary}"
        case Retrying(attempt, of, wait_s, status, message):
            why = " ".join(filter(None, (str(status or ""), message))) or "no answer"
            return f"its model failed ({why}); the agent's try {attempt} of {of} in {wait_s:.0f} s"
        case Erred(message, _):
            return f"error: {message}"
        case _:
            return None
