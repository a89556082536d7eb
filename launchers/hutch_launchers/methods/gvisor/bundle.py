"""From a spec to the configuration of an OCI bundle for runsc. Pure: opens nothing."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from hutch_launchers.spec import Mount, SandboxSpec
from hutch_launchers.system_view import GID, HOSTNAME, PRIVATE, UID

# the network is the runtime's own
_NAMESPACES = ("pid", "ipc", "uts", "mount", "user")
_NOBODYS = 100_000  # root inside is nobody outside


def bundle(spec: SandboxSpec, mounts: Sequence[Mount]) -> dict[str, Any]:
    """All but the command. `mounts` are all there are, the root first."""
    root, *others = mounts
    return {
        "ociVersion": "1.0.2",
        "hostname": HOSTNAME,
        "root": {"path": str(root.source), "readonly": True},
        "process": {
            "user": {"uid": UID, "gid": GID},
            "cwd": "/",
            "env": ["PATH=/usr/bin:/bin"],
            "capabilities": {},
            "noNewPrivileges": True,
            "rlimits": list(_limits(spec)),
        },
        "mounts": [*_own(spec), *map(_mount, others)],
        "linux": {
            "namespaces": [{"type": kind} for kind in _NAMESPACES],
            "uidMappings": _mapping(UID, os.geteuid()),
            "gidMappings": _mapping(GID, os.getegid()),
        },
    }


def _mapping(inside: int, outside: int) -> list[dict[str, int]]:
    pairs = ((inside, outside), (0, _NOBODYS))
    return [{"containerID": one, "hostID": other, "size": 1} for one, other in pairs]


def _limits(spec: SandboxSpec) -> Iterator[dict[str, Any]]:
    yield {"type": "RLIMIT_CORE", "hard": 0, "soft": 0}
    if (most := spec.limits.open_files) is not None:
        yield {"type": "RLIMIT_NOFILE", "hard": most, "soft": most}


def _own(spec: SandboxSpec) -> Iterator[dict[str, Any]]:
    yield {"destination": "/proc", "type": "proc", "source": "proc"}
    yield {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}
    for path, _, eighths in PRIVATE:
        options = ["nosuid", "nodev", "mode=1777"]
        if spec.limits.disk_bytes is not None:
            options.append(f"size={max(4096, spec.limits.disk_bytes * eighths // 8)}")
        yield {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": options}


def _mount(mount: Mount) -> dict[str, Any]:
    options = ["rbind", "nosuid", "nodev", "rw" if mount.writable else "ro"]
    return {
        "destination": str(mount.target),
        "type": "bind",
        "source": str(mount.source),
        "options": options,
    }
