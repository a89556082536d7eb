"""What a volume says of its agent's conversation, and what a turn is given beside its prompt."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from hutch.agents.adapter import Agent, Laid
from hutch.agents.beneath import folder_beneath, invalid_state, link_to, read_small, write_whole

STATE = ".hutch"  # in a volume's root
_SESSION = "session.json"
_SESSION_BYTES = 4096
_FORMAT = 1
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_AGENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoredSession:
    """The agent that has a conversation in this volume, and that conversation's id."""

    agent: str
    session_id: str  # of the form that `is_session_id` knows


def new_uuid() -> str:
    """Make an id for a new conversation of an agent whose ids are UUIDs."""
    return str(uuid4())


def is_uuid(text: object) -> bool:
    """Whether this is a UUID in canonical form."""
    return isinstance(text, str) and _UUID.fullmatch(text) is not None


def is_session_id(text: object) -> bool:
    """Whether this may be some agent's id: one plain word, which no command takes for an option."""
    return isinstance(text, str) and _SESSION_ID.fullmatch(text) is not None


def read_session(folder: Path) -> StoredSession | None:
    """Read `.hutch/session.json`; None: there is none, or it cannot be trusted."""
    try:
        with folder_beneath(folder, STATE) as state:
            record = json.loads(read_small(state, _SESSION, _SESSION_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        return None
    agent, session_id = record.get("agent"), record.get("session_id")
    if not (isinstance(agent, str) and _AGENT.fullmatch(agent)) or not is_session_id(session_id):
        return None
    return StoredSession(agent, str(session_id))


def write_session(folder: Path, session: StoredSession) -> None:
    """Write `.hutch/session.json` and `.hutch/.gitignore`, each whole or not at all.

    Also while a sandbox holds the folder: whatever it does there meanwhile leads nowhere else.
    """
    record = {"format": _FORMAT, "agent": session.agent, "session_id": session.session_id}
    try:
        with folder_beneath(folder, STATE, create=True) as state:
            _write_changed(state, ".gitignore", b"*\n")
            _write_changed(state, _SESSION, json.dumps(record).encode() + b"\n")
    except OSError as error:
        raise invalid_state(STATE, error) from error


def lay_state(folder: Path, state: Mapping[str, Laid]) -> None:
    """Put what an agent needs at its start beneath `.hutch`. Raises HutchError `volume_state_invalid`."""
    try:
        for path, content in state.items():
            *folders, name = (STATE, *path.split("/"))
            within = folders if content is not None else (*folders, name)
            with folder_beneath(folder, *within, create=True) as fd:
                if isinstance(content, bytes):
                    _write_changed(fd, name, content)
                elif content is not None:
                    link_to(fd, name, str(content))
    except OSError as error:
        raise invalid_state(STATE, error) from error


def _write_changed(folder: int, name: str, data: bytes) -> None:
    """Leave alone what is there already: each turn's changes are for a person to read."""
    try:
        if read_small(folder, name, len(data)) == data:
            return
    except (OSError, ValueError):
        pass
    write_whole(folder, name, data)


def find_session(folder: Path, agent: Agent) -> StoredSession | None:
    """Return the conversation that `agent` can resume here.

    It is the one that `session.json` names, if its transcript is there; else the only transcript there is,
    which a run that was killed leaves before `session.json` could be written; else none: of several, none is
    guessed. Raises HutchError `volume_state_invalid`.
    """
    transcripts = agent.sessions(folder)
    named = read_session(folder)
    if named is not None and named.agent == agent.name and named.session_id in transcripts:
        return named
    if len(transcripts) == 1:
        return StoredSession(agent.name, transcripts[0])
    return None


def newest_first(found: Iterable[tuple[float, str]]) -> tuple[str, ...]:
    """Return the session ids of (modified, id) pairs, each once."""
    return tuple(dict.fromkeys(session_id for _, session_id in sorted(found, reverse=True)))


def give(private: Path, given: Mapping[str, bytes]) -> None:
    """Write what a turn is given into a new, empty folder of the run. Raises OSError."""
    for name, content in given.items():
        path = private / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
