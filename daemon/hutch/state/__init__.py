"""What the daemon remembers: runs, sessions, connections, tokens and shares, in one SQLite file.

Holds no content of volumes.
"""

from hutch.state.records import AccessToken, Connection, Run, RunStatus, Session, SessionStatus, Tokens
from hutch.state.store import State

__all__ = ["AccessToken", "Connection", "Run", "RunStatus", "Session", "SessionStatus", "State", "Tokens"]
