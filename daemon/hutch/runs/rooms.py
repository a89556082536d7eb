"""The rooms that the path of a run goes through, put together once by the composition root."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hutch.access import Access, Principals, read_name
from hutch.agents import Agent
from hutch.budgets import Accounts, Others
from hutch.config import Config
from hutch.deadlines import Deadlines
from hutch.egress.meter import Prices
from hutch.state import Journal, State
from hutch.volumes import ProvenStore, VolumeName, Volumes
from hutch.workspaces import Placeholders
from hutch.workspaces.review.reviews import Reviews
from hutch.workspaces.worktrees import Worktrees
from hutch_launchers.launcher import Launcher

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # no l, o, 0, 1: ids are read aloud and typed
_ID_LENGTH = 10  # 32**10: a collision among a million ids has a chance of 1 in 2000


@dataclass(frozen=True, slots=True)
class PathRooms:
    """What a run needs, and nothing that knows of runs."""

    config: Config
    launchers: Mapping[str, Launcher]
    store: ProvenStore
    volumes: Volumes
    state: Journal
    access: Principals
    prices: Prices
    accounts: Accounts  # of budgets
    agents: Mapping[str, Callable[[], Agent]]  # each raises HutchError `agent_missing`
    logs: Path  # <run id>/stdout and stderr
    private: Path  # short and 0700: a folder per run for sockets, gone with the run
    deadlines: Deadlines
    placeholders: Placeholders  # in workspaces that are written
    reviews: Reviews  # of workspaces that wait for a decision
    worktrees: Worktrees  # of repositories whose branches they become
    shell: str  # inside a sandbox, runs a command given as a string
    others: Others | None = None  # keeps budgets that runs of other processes share; None: this one does

    @property
    def has_daemon(self) -> bool:
        """Whether there is a daemon that a sandbox can have a door to."""
        return self.others is not None

    def volume(self, text: str) -> VolumeName:
        """Read a name; without a workspace it is in the configured one. Raises `volume_name_invalid`."""
        return read_name(text, self.config.daemon.workspace)


@dataclass(frozen=True, slots=True)
class Rooms(PathRooms):
    """The same in the daemon, which remembers every run and session, and what is shared with whom."""

    state: State
    access: Access

    @property
    def has_daemon(self) -> bool:
        return True


def new_id(kind: str) -> str:
    """Return a fresh id: "r-" for a run, "s-" for a session."""
    return f"{kind}-" + "".join(_ALPHABET[byte & 31] for byte in secrets.token_bytes(_ID_LENGTH))
