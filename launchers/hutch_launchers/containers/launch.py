"""Runs and kept sandboxes in containers, whatever engine makes them."""

import os
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from signal import SIGKILL

import anyio
import anyio.to_thread

from hutch_launchers.commands import check_command, check_run_id
from hutch_launchers.containers.container import Blank, Dressed, start_blank
from hutch_launchers.containers.engine import RUN, Container, Engine
from hutch_launchers.containers.own_python import foreign_interpreter
from hutch_launchers.containers.places import forget_orphans, remove
from hutch_launchers.containers.pool import Pool, find_pool
from hutch_launchers.containers.skeleton import SKELETON, image_name, make_skeleton
from hutch_launchers.hosts import is_address
from hutch_launchers.interpreter import find_interpreter
from hutch_launchers.kept import Kept
from hutch_launchers.launcher import KeptSandbox, LauncherError, SandboxProcess
from hutch_launchers.outer_process import OuterProcess
from hutch_launchers.sources import check_target, open_sources
from hutch_launchers.spec import Command, ExitStatus, Limits, Mount, SandboxSpec
from hutch_launchers.system_view import GID, UID, look

_FRESH_S = 60.0  # how old the view of the host's system folders may be
_BLANK = Limits(wall_s=0, disk_bytes=64 << 20)  # nothing but our guest runs in it
_MAX_WORD, _MAX_WORDS = 128 << 10, 3 << 19  # bytes; the second with room for the pointers to them
_imported: set[tuple[Engine, str]] = set()


@dataclass(frozen=True, slots=True)
class Rooms:
    """How one configured engine makes containers."""

    engine: Engine
    places: Path  # where each has its folder
    readable: tuple[str, ...] = ()
    image: str = ""
    warm: int = 0
    user: tuple[int, int] = (UID, GID)

    @property
    def attaches(self) -> bool:
        """Whether mounts are put into running containers: as root we may."""
        return os.geteuid() == 0


@asynccontextmanager
async def launch(rooms: Rooms, spec: SandboxSpec) -> AsyncGenerator["ContainerProcess"]:
    """As `Launcher.launch`."""
    if spec.command is None:
        raise LauncherError("command_invalid", "a launch needs a command; `keep` starts without one")
    check_command(spec.command)
    _check_length(spec.command)
    async with _dressed(rooms, spec) as dressed:
        kept = Kept(dressed.guest, dressed.group, lambda: _ended(dressed))
        async with kept.start(spec.command) as process:
            yield ContainerProcess(process, dressed)


@asynccontextmanager
async def keep(rooms: Rooms, spec: SandboxSpec) -> AsyncGenerator[KeptSandbox]:
    """As `Launcher.keep`."""
    async with _dressed(rooms, spec) as dressed:
        yield Kept(dressed.guest, dressed.group, lambda: _ended(dressed))


def _check_length(command: Command) -> None:
    """Refuse here what no kernel takes: the guest could only tell that it did not start."""
    words = [*command.argv, *(f"{name}={value}" for name, value in command.env.items())]
    lengths = [len(word.encode(errors="surrogateescape")) + 1 for word in words]
    if max(lengths) > _MAX_WORD or sum(lengths) > _MAX_WORDS:
        raise LauncherError(
            "command_invalid",
            "the command cannot be started: its words are too long",
            "the kernel limits its words and environment: 128 KiB each word, about 2 MiB in all",
        )


async def _ended(dressed: Dressed) -> ExitStatus:
    await dressed.wait()
    return dressed.group.mark(ExitStatus(code=None, signal=SIGKILL))


class ContainerProcess(OuterProcess):
    """The one command of a container: its end is the container's."""

    def __init__(self, process: SandboxProcess, dressed: Dressed) -> None:
        super().__init__(process)
        self._dressed = dressed

    @property
    def has_group(self) -> bool:
        """Whether its container has a control group of its own."""
        return self._dressed.group.is_there

    @property
    def pid(self) -> int | None:
        return self._dressed.pid

    async def wait(self) -> ExitStatus:
        try:
            return await super().wait()
        except LauncherError:  # the sandbox as a whole has ended, and the command with it
            return await _ended(self._dressed)

    async def stop(self, grace_s: float) -> None:
        await super().stop(grace_s)
        await self._dressed.kill()


@asynccontextmanager
async def _dressed(rooms: Rooms, spec: SandboxSpec) -> AsyncGenerator[Dressed]:
    check_run_id(spec.run_id)
    for mount in spec.mounts:
        check_target(mount.target)
    dressed = await _own(await _take(rooms, spec))
    try:
        await dressed.dress(spec, attaches=rooms.attaches)
        yield dressed
    finally:
        await dressed.aclose()


async def _own(blank: Blank) -> Dressed:
    try:
        return Dressed(blank)
    except OSError as error:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(blank.discard)
        raise LauncherError("sandbox_failed", f"a container ended too early: {error}") from error


async def _take(rooms: Rooms, spec: SandboxSpec) -> Blank:
    """A warm container if there is one that fits, else a new one."""
    limits = spec.limits
    fits = limits.disk_bytes is not None and limits.open_files == _BLANK.open_files
    fits = fits and spec.image in (None, rooms.image)
    if rooms.warm and rooms.attaches and fits and (blank := warm_pool(rooms).take()):
        return blank
    return await anyio.to_thread.run_sync(_start, rooms, spec)


def warm_pool(rooms: Rooms) -> Pool:
    """The pool of these rooms, as the host is now."""
    container = _describe(rooms, rooms.image)
    return find_pool(rooms.places, container, rooms.warm, lambda: _start_described(rooms, container))


def _start(rooms: Rooms, spec: SandboxSpec) -> Blank:
    wanted = replace(_describe(rooms, spec.image or rooms.image), limits=spec.limits)
    if not rooms.attaches:
        doors = spec.egress.doors if spec.egress else ()
        names = tuple((door.name, door.address) for door in doors if not is_address(door.name))
        wanted = replace(wanted, mounts=(*wanted.mounts, *spec.mounts), hosts=names)
        with ExitStack() as held:
            open_sources(spec.mounts, held)  # looked at only: the engine opens them once more
    return _start_described(rooms, wanted)


def _start_described(rooms: Rooms, wanted: Container) -> Blank:
    known = (rooms.engine, wanted.image)
    if known not in _imported:
        if wanted.image.startswith(f"{SKELETON}:"):  # another is brought by whoever names it
            rooms.engine.bring(wanted.image, lambda: make_skeleton(look()))
        _imported.add(known)
    try:
        return start_blank(rooms.engine, wanted, rooms.places)
    except LauncherError:
        _imported.discard(known)  # somebody may have removed it
        raise


def _describe(rooms: Rooms, image: str) -> Container:
    return _described(rooms, image, int(time.monotonic() / _FRESH_S))


@lru_cache(maxsize=8)
def _described(rooms: Rooms, image: str, _period: int) -> Container:
    """A container without anything of a run, looked at once a period."""
    found = None
    if image:
        found = rooms.engine.look_up(image)
        words, python = foreign_interpreter()
        mounts = python.mounts
    else:
        view = look()
        python = find_interpreter(view.folders)
        words = (python.program,)
        mounts = (*(Mount(Path(f), PurePosixPath(f)) for f in view.folders), *python.mounts)
    own = tuple(Mount(Path(path), PurePosixPath(path)) for path in rooms.readable)
    guest = (*words, "-I", "-S", f"{RUN}/guest.py", "--connect", f"{RUN}/link", f"{RUN}/filter")
    return Container(
        name="",
        image=found.number if found else image_name(make_skeleton(look())),
        guest=guest,
        env=tuple(python.env.items()),
        folder=Path(),
        mounts=(*mounts, *own),
        limits=_BLANK,
        user=rooms.user,
        volumes=found.volumes if found else (),
    )


def reap(rooms: Rooms, run_id: str) -> bool:
    """End the container of a run whose daemon has gone; whether there was one. Blocks.

    And all others whose daemon has gone: those that it had begun to start are no run's yet.
    """
    found = False
    for place in rooms.places.glob("*"):
        with suppress(OSError):
            if (place / "run").read_text(encoding="ascii") == run_id:
                found = remove(rooms.engine, place) or found
    forget_orphans(rooms.engine, rooms.places)
    return found
