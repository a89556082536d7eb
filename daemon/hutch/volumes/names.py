"""The name of a volume: `name`, or `workspace/name`."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from hutch.errors import HutchError

DEFAULT_WORKSPACE = "default"
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,253}[A-Za-z0-9]")
_CONFLICT = re.compile(rf"{_PART.pattern}@conflict-[0-9TZ-]+")
_CONFLICT_BASE = 200  # characters at most before its "@", so that the whole stays below 255


@dataclass(frozen=True, slots=True, order=True)
class VolumeName:
    """A checked name; its parts are safe as parts of a store's key and of a file's path."""

    workspace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "VolumeName":
        """Read `name` or `workspace/name`, each 2-255 of `A-Za-z0-9._-` with a letter or digit at both ends.

        `NAME@conflict-TIME` is accepted too: Hutch makes such names, nobody else can.

        Raises:
            HutchError: `volume_name_invalid`.
        """
        workspace, slash, name = text.partition("/")
        if not slash:
            workspace, name = DEFAULT_WORKSPACE, workspace
        if _PART.fullmatch(workspace) and (_PART.fullmatch(name) or _CONFLICT.fullmatch(name)):
            return cls(workspace, name)
        raise HutchError(
            "volume_name_invalid",
            f"not a volume name: {text[:80]!r}",
            "use 2-255 letters, digits, '.', '_' or '-', with a letter or digit at both ends",
        )

    @property
    def full(self) -> str:
        """With the workspace, as keys have it."""
        return f"{self.workspace}/{self.name}"

    @property
    def is_conflict(self) -> bool:
        """Whether it holds work that could not be committed to its own volume."""
        return "@" in self.name

    @property
    def of(self) -> "VolumeName | None":
        """The volume itself, or the one that a conflict fork is of; None: its name was too long to tell."""
        base = self.name.partition("@")[0]
        if self.is_conflict and len(base) >= _CONFLICT_BASE:
            return None
        return VolumeName(self.workspace, base)

    def conflict(self, at: datetime, attempt: int) -> "VolumeName":
        """The name of the fork that keeps work which cannot go into this volume any more."""
        suffix = "" if attempt == 0 else f"-{attempt + 1}"
        base = self.name.partition("@")[0]
        if len(base) >= _CONFLICT_BASE:  # cut, and as long as only a cut one is
            base = f"{base[: _CONFLICT_BASE - 1]}0"
        return VolumeName(self.workspace, f"{base}@conflict-{at:%Y%m%dT%H%M%SZ}{suffix}")

    def __str__(self) -> str:
        return self.name if self.workspace == DEFAULT_WORKSPACE else self.full


class Identity(NamedTuple):
    """One volume for good: its name may come to mean another volume, name and id together never do."""

    name: VolumeName
    id: str

    @classmethod
    def parse(cls, path: str) -> "Identity":
        """The opposite of `path`. Raises HutchError `volume_name_invalid`."""
        name, _, volume_id = path.rpartition("/")
        return cls(VolumeName.parse(name), volume_id)

    @property
    def path(self) -> str:
        """Workspace, name and id, as keys have them."""
        return f"{self.name.full}/{self.id}"

    def key(self, key: str) -> str:
        """A key in the store, for one below the volume's folder."""
        return f"volumes/{self.path}/{key}"
