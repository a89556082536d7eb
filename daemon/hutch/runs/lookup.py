"""Finds sessions by what a person types."""

from hutch.errors import HutchError
from hutch.state import Session, State


async def find_session(state: State, text: str) -> Session:
    """Return a session by its id, a unique prefix of it, or its name. Raises HutchError `session_unknown`."""
    ids = await state.ids("sessions", text) if text else []
    if len(ids) > 1 and text not in ids:
        raise HutchError("session_unknown", f"several sessions are called {text!r}", "give more of the id")
    found = await state.session(text if text in ids else ids[0]) if ids else None
    if found is None:
        raise HutchError(
            "session_unknown", f"no session is called {text!r}", "see: hutch sessions, list_sessions"
        )
    return found
