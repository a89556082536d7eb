"""The rooms that the path of a run goes through, put together once by the composition root."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hutch.agents import Agent
from hutch.config import Config
from hutch.errors import HutchError
from hutch.state import State
from hutch.volumes import VolumeName, Volumes
from hutch_launchers.launcher import Launcher

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # no l, o, 0, 1: ids are read aloud and typed
_ID_LENGTH = 10  # 32**10: a collision among a million ids has a chance of 1 in 2000


@dataclass(frozen=True, slots=True)
class Rooms:
    """What a run needs, and nothing that knows of runs."""

    config: Config
    launchers: Mapping[str, Launcher]
    volumes: Volumes
    state: State
    agents: Mapping[str, Callable[[], Agent]]  # each raises HutchError `agent_missing`
    logs: Path  # <run id>/stdout and stderr
    private: Path  # short and 0700: a folder per run for sockets, gone with the run
    shell: str  # inside a sandbox, runs a command given as a string

    def full_name(self, text: str) -> str:
        """Return "name:path" with the name in its one full spelling."""
        name, colon, path = text.partition(":")
        return f"{self.volume(name)}{colon}{path}"

    def volume(self, text: str) -> VolumeName:
        """Read a name; without a workspace it is in the configured one. Raises `volume_name_invalid`."""
        try:
            return VolumeName.parse(text if "/" in text else f"{self.config.daemon.workspace}/{text}")
        except HutchError as error:  # said again in the caller's own words
            raise HutchError(error.code, f"not a volume name: {text[:80]!r}", error.hint) from error


def new_id(kind: str) -> str:
    """Return a fresh id: "r-" for a run, "s-" for a session."""
    return f"{kind}-" + "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))
