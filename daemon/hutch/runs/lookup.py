"""Finds runs and sessions by what a person types, among those that the principal may know of."""

from hutch.config import OWNER
from hutch.errors import HutchError
from hutch.state import Session, State
from hutch.state.store import Table


async def ids_of(state: State, table: Table, text: str, principal: str) -> list[str]:
    """Return up to three ids that begin with `text`, or are named so, among those of `principal`.

    The owner principal may know of all, his own first: nobody makes his names ambiguous by taking them.
    """
    if not text:
        return []
    own = await state.ids(table, text, principal)
    return await state.ids(table, text) if not own and principal == OWNER else own


async def find_session(state: State, text: str, principal: str) -> Session:
    """Return a session by its id, a unique prefix of it, or its name. Raises HutchError `session_unknown`."""
    ids = await ids_of(state, "sessions", text, principal)
    if len(ids) > 1 and text not in ids:
        raise HutchError("session_unknown", f"several sessions are called {text!r}", "give more of the id")
    found = await state.session(text if text in ids else ids[0]) if ids else None
    if found is None:
        raise HutchError("session_unknown", f"no session is called {text!r}", "see: hutch sessions")
    return found
