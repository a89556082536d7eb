"""What the daemon remembers: runs, sessions, connections, usage, tokens and shares, in one SQLite file.

Holds no content of volumes.
"""

from hutch.state.groups import Attempt, Group
from hutch.state.journal import Journal
from hutch.state.records import (
    AccessToken,
    Connection,
    Run,
    Session,
    Tokens,
    Traffic,
    Turn,
)
from hutch.state.store import State
from hutch.state.usage import UsageRow

__all__ = [
    "AccessToken",
    "Attempt",
    "Connection",
    "Group",
    "Journal",
    "Run",
    "Session",
    "State",
    "Tokens",
    "Traffic",
    "Turn",
    "UsageRow",
]
