"""What a root daemon must not hand to a sandbox as root's own.

In a user namespace made by root, the command's user *is* the kernel's uid 0. Its capabilities are gone, but
it still owns what root owns, and the owner of a file may change its mode: of a device node that was bound,
the host's own. So a sandbox of root's gets nodes that belong to nobody. (What else of root's it sees is
mounted read-only, which refuses that too, and bubblewrap's own process is hidden.)
"""

import os
import stat
from pathlib import Path

from hutch_launchers.launcher import LauncherError

# In the range that distributions reserve and assign to nobody, and within 16 bits: mapped in containers too
NOBODY = 65432

_FOLDER = Path("/dev/hutch")  # only a file system that takes device nodes will do
_NODES = {  # name -> major, minor: linux/Documentation/admin-guide/devices.txt
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}


def own_devices() -> tuple[tuple[str, str], ...]:
    """Return (host's node, its path inside) for each; none where we are no root, which needs none.

    Raises LauncherError `sandbox_failed` where root may not make them.
    """
    if os.geteuid() != 0:
        return ()
    try:
        _FOLDER.mkdir(mode=0o755, exist_ok=True)
        for name, (major, minor) in _NODES.items():
            _make_node(_FOLDER / name, os.makedev(major, minor))
    except OSError as error:
        raise LauncherError(
            "sandbox_failed",
            f"root cannot make device nodes of its own in {_FOLDER}: {error.strerror}",
            "run the daemon as an ordinary user, which needs none",
        ) from error
    return tuple((str(_FOLDER / name), f"/dev/{name}") for name in _NODES)


def _make_node(path: Path, device: int) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        pass
    else:
        if stat.S_ISCHR(status.st_mode) and (status.st_rdev, status.st_uid) == (device, NOBODY):
            return
        path.unlink()
    passing = path.with_name(f".{path.name}.{os.getpid()}")
    passing.unlink(missing_ok=True)
    os.mknod(passing, stat.S_IFCHR | 0o666, device)
    os.chown(passing, NOBODY, NOBODY)
    passing.chmod(0o666)
    passing.rename(path)
