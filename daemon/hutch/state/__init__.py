"""What the daemon remembers: runs, sessions, connections, in one SQLite file. Holds no content of volumes."""

from hutch.state.records import Connection, Run, RunStatus, Session, SessionStatus, Tokens
from hutch.state.store import State

__all__ = ["Connection", "Run", "RunStatus", "Session", "SessionStatus", "State", "Tokens"]
