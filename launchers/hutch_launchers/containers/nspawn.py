"""The engine of `systemd-nspawn`: a container is a process of ours, in a control group of ours."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hutch_launchers import proc
from hutch_launchers.cgroup import Group, make_group
from hutch_launchers.containers.cli import private_folders
from hutch_launchers.containers.engine import RUN, Container
from hutch_launchers.containers.images import Image
from hutch_launchers.containers.skeleton import Skeleton, root_of, unpack
from hutch_launchers.hierarchy import find_hierarchy
from hutch_launchers.launcher import LauncherError
from hutch_launchers.spec import Limits, Mount
from hutch_launchers.system_view import HOSTNAME, USER

_PROPAGATE = Path("/run/systemd/nspawn/propagate")  # nspawn leaves a folder there where / is no tmpfs
_WIDE = Limits(wall_s=0, memory_bytes=1 << 40, pids=4096, cpus=1024)  # until it is given its own
_END_S = 5.0  # from the end of its process 1 to that of nspawn
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_started: dict[str, "subprocess.Popen[bytes]"] = {}


@dataclass(frozen=True, slots=True)
class NspawnEngine:
    """For root."""

    program: str
    processes = 2  # it waits beside the guest

    def bring(self, image: str, skeleton: Callable[[], Skeleton]) -> None:
        unpack(skeleton())

    def look_up(self, image: str) -> Image:
        raise LauncherError("sandbox_failed", f"nspawn has no image {image}", "docker and podman use images")

    def start(self, container: Container) -> str:
        argv = nspawn_argv(self.program, container)
        hierarchy = find_hierarchy()
        group = make_group(hierarchy, container.name, _WIDE) if hierarchy else None

        def popen() -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                argv, stdin=-3, stdout=-3, stderr=-1, env={"PATH": _PATH}, cwd="/", start_new_session=True
            )

        _started[container.name] = process = group.spawn(popen) if group else popen()
        if group:
            group.add(process.pid)
        return container.name

    def check(self, name: str) -> None:
        process = _started[name]
        if process.poll() is not None:
            _, err = process.communicate()
            reason = err.decode(errors="replace").strip()[-500:]
            raise LauncherError("sandbox_failed", f"systemd-nspawn: {reason}", "see: hutch doctor")

    def forget(self, name: str) -> None:
        if process := _started.pop(name, None):
            assert process.stderr is not None
            process.stderr.close()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_END_S)
        group = _group(name)
        until = time.monotonic() + _END_S
        while group and any(folder.exists() for folder in group.folders.values()):
            if not group.kill():
                for folder in group.folders.values():
                    with suppress(OSError):
                        folder.rmdir()
            if time.monotonic() > until:
                raise LauncherError("sandbox_failed", f"the container {name} did not end within {_END_S:g} s")
            time.sleep(0.002)
        with suppress(OSError):
            (_PROPAGATE / name).rmdir()

    def settle(self, name: str, image: str) -> None:
        """Its process is ours, and may not be in its group yet."""
        for pid in proc.pids_with_argument(f"--machine={name}"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remove(self, name: str) -> None:
        if group := _group(name):
            group.kill()
        if process := _started.get(name):
            process.kill()
        self.forget(name)


def _group(name: str) -> Group | None:
    hierarchy = find_hierarchy()
    return Group(hierarchy, {str(f): f / name for f in hierarchy.folders}) if hierarchy else None


def nspawn_argv(program: str, container: Container) -> list[str]:
    """Pure: the words that start it and stay."""
    return [
        *(
            program,
            "--quiet",
            f"--directory={root_of(container.image)}",
            "--volatile=overlay",
            "--register=no",
        ),
        *("--keep-unit", "--private-network", "--no-new-privileges=yes", "--drop-capability=all"),
        "--rlimit=CORE=0",  # a handler of core dumps would run on the host
        *(f"--user={USER}", f"--hostname={HOSTNAME}", f"--machine={container.name}", "--resolv-conf=off"),
        *("--timezone=off", "--link-journal=no", "--pipe", "--rlimit=RLIMIT_CORE=0"),
        *(f"--tmpfs={path}:mode={mode}" for path, mode, _ in private_folders(None) if path != "/dev/shm"),
        *((f"--rlimit=RLIMIT_NOFILE={open_files}",) if (open_files := container.limits.open_files) else ()),
        *_mounts(container),
        *(f"--setenv={name}={value}" for name, value in container.env),
        *("--", *container.guest),
    ]


def _mounts(container: Container) -> Iterator[str]:
    for mount in (Mount(container.folder, PurePosixPath(RUN)), *container.mounts):
        source, target = (
            str(p).replace("\\", "\\\\").replace(":", "\\:") for p in (mount.source, mount.target)
        )
        yield f"--bind{'' if mount.writable else '-ro'}={source}:{target}"
