"""What this host remembers of a store: its id for good, and that it was proven, until it is forgotten."""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hutch.volumes.failures import DamagedError


@dataclass(frozen=True, slots=True)
class StoreMemory:
    """Two files of JSON, by the store's place. Losing `proofs` costs a new proof.

    Losing `roots` makes an empty store believable again.
    """

    roots: Path
    proofs: Path

    def root(self, place: str) -> str:
        """The store's id, "" if it was never used from here."""
        return str(_read(self.roots).get(place, ""))

    def proof(self, place: str) -> dict[str, Any]:
        """What was proven; empty: nothing."""
        try:
            found = _read(self.proofs).get(place, {})
        except DamagedError:
            return {}
        return found if isinstance(found, dict) else {}

    def keep_root(self, place: str, root: str) -> None:
        _write(self.roots, {**_read(self.roots), place: root})

    def keep_proof(self, place: str, proof: dict[str, Any]) -> None:
        """Replaces all others: what is not proven by now will be proven again."""
        _write(self.proofs, {place: proof})


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DamagedError(str(path), str(error)) from None
    if not isinstance(found, dict):
        raise DamagedError(str(path), "it is not a table")
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with new.open("x") as file:
        file.write(json.dumps(content, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
