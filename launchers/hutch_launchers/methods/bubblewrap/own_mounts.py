"""The mounts in which a root daemon starts its bubblewraps: the host's, but for nodes and kernel settings.

bubblewrap reads the whole table of mounts again after each that it makes, so each costs more than the last.
It binds the nodes of /dev by itself; where these are nobody's already, they need not be bound once more
(`root_owned`). And what no sandbox is shown, as control groups and tracing, need not stand in the table.
"""

import os
import select
from collections.abc import Iterable
from functools import cache

from hutch_launchers import proc
from hutch_launchers.launcher import LauncherError
from hutch_launchers.mount_calls import fail, libc
from hutch_launchers.spawner import Spawner

_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000
_MS_BIND, _MS_REC, _MS_SLAVE = 4096, 16384, 1 << 19
_MNT_DETACH = 2
_OF_THE_KERNEL = frozenset({
    "cgroup", "cgroup2", "tracefs", "debugfs", "securityfs", "pstore", "bpf", "configfs", "efivarfs",
    "fusectl", "binfmt_misc", "devpts", "mqueue", "hugetlbfs",
})  # fmt: skip


class OwnMounts:
    """Belongs to one thread, which copies the host's mounts anew when they have changed."""

    def __init__(self, devices: Iterable[tuple[str, str]]) -> None:
        """`devices`: (host's node, the one in /dev that it takes the place of). Raises OSError."""
        self._devices = tuple(devices)
        self._host = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._changes = select.poll()
        self._changes.register(self._table, select.POLLPRI)
        self._is_copied = False

    def prepare(self) -> None:
        """Let the calling thread see them. Raises LauncherError `sandbox_failed`."""
        if self._is_copied and not self._changes.poll(0):
            return
        self._is_copied = False
        try:
            self._copy()
        except OSError as error:
            raise LauncherError(
                "sandbox_failed", f"root cannot have mounts of its own to start sandboxes in: {error}"
            ) from error
        self._is_copied = True

    def _copy(self) -> None:
        _check(libc.unshare(_CLONE_FS))
        _check(libc.setns(self._host, _CLONE_NEWNS))
        self._changes.poll(0)  # what changes from here on is seen by the next start
        _check(libc.unshare(_CLONE_NEWNS))
        _check(libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None))
        for node, place in self._devices:
            _check(libc.mount(os.fsencode(node), os.fsencode(place), None, _MS_BIND, None))
        for point in proc.mount_points(_OF_THE_KERNEL):
            libc.umount2(os.fsencode(point), _MNT_DETACH)  # where it stays it costs time, and no more


@cache
def spawner_with(devices: tuple[tuple[str, str], ...]) -> Spawner | None:
    """A thread whose children find these nodes in /dev; None: there are none, or we may not have mounts."""
    if not devices:
        return None
    try:
        spawner = Spawner(OwnMounts(devices).prepare)
        spawner.run(lambda: None)
    except (LauncherError, OSError):
        return None
    return spawner


def _check(answer: int) -> None:
    if answer < 0:
        fail()
