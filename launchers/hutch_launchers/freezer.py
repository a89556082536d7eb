"""Holds all processes of a control group still for a moment, so that what they write can be read whole.

Only by the kernel's freezer: SIGSTOP would do the same, but a shell inside sees its jobs stop.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

_ARRIVAL_S = 0.1  # a process in an uninterruptible call freezes late; then it is not worth the wait
_PATIENCE_S = 5.0  # of somebody who asked for it, on a busy host
_LONGEST_S = 1.0  # whoever froze it may hang; the sandbox must not
_ASK_AGAIN_S = 0.001


@dataclass(frozen=True, slots=True)
class Switch:
    """The freezer's files in one control group, of version 1 or 2."""

    control: Path
    on: str
    off: str
    state: Path
    frozen: str  # a line of `state` when all have arrived

    def set(self, *, on: bool) -> None:
        self.control.write_text(self.on if on else self.off, encoding="ascii")

    @property
    def has_frozen(self) -> bool:
        return self.frozen in self.state.read_text(encoding="ascii").splitlines()


def find_switch(group: Path) -> Switch | None:
    """The freezer of a control group; None: the group has none."""
    if (state := group / "freezer.state").exists():
        return Switch(state, "FROZEN", "THAWED", state, "FROZEN")
    if (control := group / "cgroup.freeze").exists():
        return Switch(control, "1", "0", group / "cgroup.events", "frozen 1")
    return None


class Freezer:
    """Freezes one sandbox; several may ask at once, it thaws when the last is done."""

    def __init__(self, switch: Switch | None) -> None:
        self._switch = switch
        self._users = 0
        self.is_suspended = False

    async def suspend(self) -> bool:
        """Hold all of it still until `resume`; False: it could not be."""
        if self._switch is not None and not self.is_suspended:
            self.is_suspended = await _freeze(self._switch, _PATIENCE_S)
        return self.is_suspended

    def resume(self) -> None:
        """Let it go on."""
        self.is_suspended = False
        if self._switch is not None and not self._users:
            _thaw(self._switch)

    @asynccontextmanager
    async def frozen(self) -> AsyncGenerator[bool]:
        """Whether all of the sandbox stands still; at the end of the block, or after a second, it goes on."""
        if self._switch is None:
            yield False
            return
        switch = self._switch
        self._users += 1
        late = asyncio.get_running_loop().call_later(_LONGEST_S, self._let_go, switch)
        try:
            yield self.is_suspended or await _freeze(switch, _ARRIVAL_S)
        finally:
            late.cancel()
            self._users -= 1
            if not self._users:
                self._let_go(switch)

    def _let_go(self, switch: Switch) -> None:
        if not self.is_suspended:
            _thaw(switch)


async def _freeze(switch: Switch, patience_s: float) -> bool:
    until = time.monotonic() + patience_s
    try:
        switch.set(on=True)
        while not switch.has_frozen:
            if time.monotonic() > until:
                _thaw(switch)
                return False
            await anyio.sleep(_ASK_AGAIN_S)
    except OSError:  # the group has gone
        return False
    return True


def _thaw(switch: Switch) -> None:
    with suppress(OSError):  # the group has gone
        switch.set(on=False)


def thaw(group: Path) -> None:
    """Let a group go on that a dead daemon may have left frozen: in version 1 not even SIGKILL reaches it."""
    if switch := find_switch(group):
        _thaw(switch)
