"""What a volume says of its agent's conversation, and what a turn is given, under the volume's `.hutch/`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from hutch.agents.adapter import Agent


@dataclass(frozen=True, slots=True)
class StoredSession:
    """The agent that has a conversation in this volume, and that conversation's id."""

    agent: str
    session_id: str  # a UUID in its canonical form


def new_session_id() -> str:
    return str(uuid4())


def read_session(folder: Path) -> StoredSession | None:
    """Read `.hutch/session.json`; None: there is none, or it cannot be trusted."""
    raise NotImplementedError


def write_session(folder: Path, session: StoredSession) -> None:
    """Write `.hutch/session.json` and `.hutch/.gitignore`, each whole or not at all."""
    raise NotImplementedError


def find_session(folder: Path, agent: Agent) -> StoredSession | None:
    """Return the conversation that `agent` can resume here.

    It is the one that `session.json` names, if its transcript exists; else the only transcript there is;
    else none: of several, none is guessed.
    """
    raise NotImplementedError


def give(folder: Path, given: Mapping[str, bytes]) -> None:
    """Make `.hutch/given/` hold exactly these files: what an earlier turn was given is gone."""
    raise NotImplementedError
