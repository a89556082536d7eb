"""What one principal may do with which volume. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from hutch.errors import HutchError
from hutch.volumes import VolumeName


class Level(IntEnum):
    """Each may do what those before it may."""

    NONE = 0  # not even know that it is there
    READ = 1
    WRITE = 2  # and make it, where there is none
    OWN = 3  # share, restore, thin, remove

    @classmethod
    def of(cls, word: str) -> "Level":
        """Read one of `none`, `ro`, `rw`, `owner`."""
        return _LEVELS[word]

    @property
    def word(self) -> str:
        return _WORDS[self]


_LEVELS = {"none": Level.NONE, "ro": Level.READ, "rw": Level.WRITE, "owner": Level.OWN}
_WORDS = {level: word for word, level in _LEVELS.items()}


@dataclass(frozen=True, slots=True)
class Pattern:
    """Names of volumes: "*" stands for any text without a slash. Case counts, as it does in names."""

    text: str  # with the workspace
    level: Level

    @classmethod
    def read(cls, text: str, level: Level, workspace: str) -> "Pattern":
        """Read a pattern; without a workspace it is about volumes of `workspace`."""
        return cls(text if "/" in text else f"{workspace}/{text}", level)

    def fits(self, full: str) -> bool:
        """Whether it is about a volume, whose name is given with its workspace."""
        parts = zip(self.text.split("/"), full.split("/"), strict=True)
        return all(_fits(pattern, part) for pattern, part in parts)

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Greater is more specific: a whole name, then more characters of one; of equals the lesser right."""
        return "*" not in self.text, len(self.text.replace("*", "")), -self.level


@dataclass(frozen=True, slots=True)
class Rights:
    """Of one principal, at one moment. What is not granted is denied."""

    is_owner: bool = False  # the owner principal, who may do all
    patterns: tuple[Pattern, ...] = ()
    shares: Mapping[str, Level] = field(default_factory=dict)  # full name -> what a share says

    def level(self, name: VolumeName) -> Level:
        """Return what is allowed: what a share says of just this volume, else the most specific pattern.

        Work that could not be committed to a volume is as private as that volume.
        """
        if self.is_owner:
            return Level.OWN
        if name.full in self.shares:
            return self.shares[name.full]
        if name.of is None:
            return Level.NONE
        base = name.of.full
        if base in self.shares:
            return self.shares[base]
        matching = [pattern for pattern in self.patterns if pattern.fits(base)]
        return max(matching, key=lambda pattern: pattern.rank).level if matching else Level.NONE

    def require(self, name: VolumeName, needed: Level) -> None:
        """Raise HutchError `volume_unknown`, `volume_read_only` or `volume_not_yours` unless it is allowed.

        The first is said as of a volume that is not there, and before anybody looks whether it is.
        """
        level = self.level(name)
        if level >= needed:
            return
        if level is Level.NONE:
            raise HutchError("volume_unknown", f"there is no volume '{name}'", "see: hutch volume ls")
        if level is Level.READ:
            raise HutchError(
                "volume_read_only",
                f"volume '{name}' may be read by you, and not be written",
                f"mount it as {name}:ro, or work in a volume of your own",
            )
        raise HutchError(
            "volume_not_yours",
            f"volume '{name}' may be written by you; this is for its owners",
            f"an owner can do it, or share it: hutch volume share {name} PRINCIPAL owner",
        )


def _fits(pattern: str, text: str) -> bool:
    """Match in one pass: a regular expression with many "*" would try for hours what somebody else names."""
    head, *pieces = pattern.split("*")
    if not pieces:
        return text == head
    *middle, tail = pieces
    at, end = len(head), len(text) - len(tail)
    if at > end or not text.startswith(head) or not text.endswith(tail):
        return False
    for piece in middle:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


OWNERS_RIGHTS = Rights(is_owner=True)
