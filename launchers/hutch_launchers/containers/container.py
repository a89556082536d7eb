"""One container: started blank, dressed for a spec while only our guest runs in it, ended with all in it.

The guest comes to us over a unix socket in a folder that is bound into the container, so the engine is no
part of a command's streams, its environment stands in no record of the engine, and its end is told exactly.
The guest ends, and its container with it, when our end of the socket closes: also when we are killed.
"""

import os
import shutil
import signal
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath

import anyio
import anyio.to_thread

from hutch_launchers import proc
from hutch_launchers.attach import Owner, attach
from hutch_launchers.containers.cli import private_folders
from hutch_launchers.containers.engine import Container, Engine
from hutch_launchers.containers.places import new_name, remove
from hutch_launchers.doors import open_doors
from hutch_launchers.foreign_group import ForeignGroup
from hutch_launchers.guest_link import Guest
from hutch_launchers.hosts import name_files
from hutch_launchers.interpreter import GUEST_SOURCE
from hutch_launchers.launcher import LauncherError
from hutch_launchers.local_process import PidWatch, wait_for_death
from hutch_launchers.seccomp import seccomp_filter
from hutch_launchers.spec import Mount, SandboxSpec
from hutch_launchers.system_view import private_proc_files

_CALL_BACK_S = 20.0  # an interpreter's start in a new container on a busy host
_LOOK_S = 0.1  # between two looks whether the container has ended
_PEER = struct.Struct("3i")  # struct ucred


@dataclass(frozen=True, slots=True)
class Blank:
    """A started container with nothing of a run in it. Whoever has it ends it."""

    engine: Engine
    container: Container
    place: Path  # its folder on the host; what is inside is bound from `place / "inside"`
    host: socket.socket  # to its guest
    number: str  # by which the engine knows it
    pid: int
    owner: Owner

    def discard(self) -> None:
        """End it. Blocks."""
        self.host.close()
        remove(self.engine, self.place)


def start_blank(engine: Engine, wanted: Container, places: Path) -> Blank:
    """Start a container and wait for its guest. Blocks. Raises LauncherError; nothing is left then.

    `wanted.name` and `wanted.folder` are chosen here.
    """
    name = new_name()
    place = places / name
    inside = place / "inside"
    inside.mkdir(parents=True)
    try:
        place.chmod(0o700)
        inside.chmod(0o755)
        container = replace(wanted, name=name, folder=inside)
        _fill(inside)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(inside / "link"))
            (inside / "link").chmod(0o666)  # its folder's folder is closed to all others of the host
            listener.listen(1)
            (place / "image").write_text(container.image, encoding="utf-8")  # from now on there may be one
            number = engine.start(container)
            host = _accept(listener, lambda: engine.check(name))
        pid, uid, gid = _PEER.unpack(host.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    except BaseException:
        remove(engine, place)
        raise
    (inside / "link").unlink()
    (place / "number").write_text(f"{pid} {number}", encoding="ascii")
    return Blank(engine, container, place, host, number, pid, Owner(uid, gid))


@cache
def _covers() -> tuple[tuple[str, str], ...]:
    """What is covered inside, by what of ours: an engine's own mask may be a device that can be written."""
    files = {*private_proc_files(), "/proc/keys", "/proc/timer_list", "/proc/kcore", "/proc/sched_debug"}
    folders = ("/sys", "/run/host", "/proc/pressure", "/proc/acpi", "/proc/scsi")
    masks = [(path, "nothing") for path in sorted(files)] + [(path, "empty") for path in folders]
    return (*((path, PurePosixPath(path).name) for path in name_files(None)), *masks)


def _fill(inside: Path) -> None:
    (inside / "nothing").touch(mode=0o444)
    (inside / "guest.py").write_bytes(GUEST_SOURCE.read_bytes())
    (inside / "empty").mkdir(mode=0o755)
    (inside / "filter").write_bytes(seccomp_filter() or b"")


def _accept(listener: socket.socket, check: Callable[[], None]) -> socket.socket:
    listener.settimeout(_LOOK_S)
    until = time.monotonic() + _CALL_BACK_S
    while time.monotonic() < until:
        try:
            return listener.accept()[0]
        except TimeoutError:
            check()
    raise LauncherError(
        "sandbox_failed",
        f"the guest of a container did not answer within {_CALL_BACK_S:g} s",
        "does the engine run on this very host, and not in a virtual machine?",
    )


class Dressed:
    """A container that is a run's. Owns it until `aclose`."""

    def __init__(self, blank: Blank) -> None:
        self._blank = blank
        self.pid = blank.pid
        self._parent = proc.parent(blank.pid)  # the engine's, which sees its end
        self._watch = PidWatch(os.pidfd_open(blank.pid))
        self.guest = Guest(blank.host, self.end)
        self.group = ForeignGroup(blank.pid, blank.number)

    async def dress(self, spec: SandboxSpec, *, attaches: bool) -> None:
        """Give it what the spec asks for. `attaches`: mounts, sizes and limits too, else it was started so.

        Raises LauncherError.
        """
        (self._blank.place / "run").write_text(spec.run_id, encoding="ascii")
        with anyio.move_on_after(_CALL_BACK_S):
            await self.guest.ready.wait()
        if self.guest.gone.is_set() or not self.guest.ready.is_set():
            raise LauncherError("sandbox_failed", "the guest of a container ended", "see: hutch doctor")
        if attaches:
            self.group.limit(spec.limits, self._blank.engine.processes)
            inside = self._blank.container.folder
            for path, content in name_files(spec.egress).items():
                (inside / PurePosixPath(path).name).write_bytes(content)
            covers = [Mount(inside / name, PurePosixPath(path)) for path, name in _covers()]
            volumes = self._blank.container.volumes
            sizes = [
                (path, size) for path, _, size in private_folders(spec.limits.disk_bytes, volumes) if size
            ]
            attach(self.pid, self._blank.owner, covers, spec.mounts, sizes)
        self.group.space.hold(self.pid)
        if spec.egress is not None and spec.egress.made:
            await open_doors(self.pid, spec.egress)

    async def wait(self) -> None:
        """Return when all of it has ended."""
        await self._watch.wait()

    @property
    def has_ended(self) -> bool:
        return self._watch.has_ended

    def end(self) -> None:
        """Begin to end everything in it, without waiting."""
        with suppress(PermissionError):  # another user's: then the guest ends, as its host has hung up
            self._watch.send(signal.SIGKILL)

    async def kill(self) -> None:
        """End everything in it, and return when it has ended."""
        self.end()
        self.guest.close()
        await wait_for_death(self._watch)

    async def aclose(self) -> None:
        """End it and forget it."""
        try:
            with anyio.CancelScope(shield=True):
                is_watched = proc.parent(self.pid) == self._parent
                await self.kill()
                if not is_watched:  # somebody killed that, or it is about to see
                    await anyio.to_thread.run_sync(remove, self._blank.engine, self._blank.place)
                    return
                await anyio.to_thread.run_sync(self._blank.engine.forget, self._blank.container.name)
                shutil.rmtree(self._blank.place, ignore_errors=True)
        except LauncherError:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(remove, self._blank.engine, self._blank.place)
            raise
        finally:
            self._watch.close()
            self.group.space.close()
