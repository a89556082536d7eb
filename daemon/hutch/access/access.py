"""The principals of the configuration, and what was shared with them since."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hutch.access.naming import read_name, spell
from hutch.access.rights import OWNERS_RIGHTS, Level, Pattern, Rights
from hutch.config import OWNER, Config
from hutch.errors import HutchError
from hutch.state import State
from hutch.volumes import VolumeName


@dataclass(frozen=True, slots=True)
class Share:
    """What was said of one principal and one volume; it goes before every pattern."""

    principal: str
    level: Level


class Principals:
    """Knows the rights of every principal. Methods raise HutchError."""

    def __init__(self, config: Config, shares_with: Callable[[str], Awaitable[Mapping[str, str]]]) -> None:
        """`shares_with` a principal: volume -> level."""
        self._shares_with = shares_with
        self._workspace = config.daemon.workspace
        self._patterns = {
            name: tuple(
                Pattern.read(text, Level.of(word), self._workspace)
                for text, word in principal.volumes.items()
            )
            for name, principal in config.principals.items()
        }

    @property
    def principals(self) -> Sequence[str]:
        """The owner principal, then those of the configuration."""
        return (OWNER, *self._patterns)

    def volume(self, text: str) -> VolumeName:
        """Read a volume's name as everybody writes it here. Raises HutchError `volume_name_invalid`."""
        return read_name(text, self._workspace)

    def spell(self, name: VolumeName) -> str:
        """Return a name in that one spelling."""
        return spell(name, self._workspace)

    async def rights(self, principal: str) -> Rights:
        """Return what a principal may do now; one that the configuration does not know may do nothing."""
        if principal == OWNER:
            return OWNERS_RIGHTS
        if principal not in self._patterns:
            return Rights()
        stored = await self._shares_with(principal)
        return Rights(
            patterns=self._patterns[principal],
            shares={volume: Level.of(word) for volume, word in stored.items()},
        )


class Access(Principals):
    """The rights of every principal, and what is shared with them while the daemon runs."""

    def __init__(self, config: Config, state: State) -> None:
        super().__init__(config, state.shares_with)
        self._state = state

    async def share(self, name: VolumeName, principal: str, level: Level, *, by: str = OWNER) -> None:
        """Say what a principal may do with a volume from now on, whatever its patterns say.

        `by` says so; the owner principal alone is told which principals there are.
        """
        if principal not in self._patterns:
            raise unknown_principal(principal, self._patterns if by == OWNER else None)
        await self._state.put_share(name.full, principal, level.word, time.time())

    async def shares(self, name: VolumeName) -> Sequence[Share]:
        """Return what was shared of a volume, by the principals' names."""
        stored = await self._state.shares_of(name.full)
        return [Share(principal, Level.of(word)) for principal, word in sorted(stored.items())]

    async def forget(self, name: VolumeName) -> None:
        """Drop what was granted by shares of a volume that is gone: another of its name begins without.

        A share that grants less than the patterns stays: by them the volume could be brought back.
        """
        for share in await self.shares(name):
            unshared = Rights(patterns=self._patterns.get(share.principal, ()))
            if share.level >= unshared.level(name):
                await self._state.forget_share(name.full, share.principal)


def unknown_principal(name: str, known: Iterable[str] | None) -> HutchError:
    """The error for a principal that the configuration does not have; None: which it has is not told."""
    if known is None:
        hint = "ask the daemon's owner for its name"
    else:
        names = ", ".join(sorted(known)) or "none"
        hint = f"known: {names}; one that was written since is read by: hutch stop --daemon"
    return HutchError("principal_unknown", f"no principal is called {name[:80]!r}", hint)
