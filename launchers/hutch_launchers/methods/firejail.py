"""The method `firejail`: the distribution's setuid program. Nothing is moved: what is not granted is hidden.

It takes no word of more than 4 KiB, so a command's words go to the shell inside with its environment.
"""

import os
import pwd
import re
import shutil
import stat
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import anyio
import anyio.to_thread

from hutch_launchers.front import PATH, PLACE, Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits, without_affinity
from hutch_launchers.launcher import Evidence, LauncherError, SandboxProcess
from hutch_launchers.own_paths import OwnPaths, make_own_paths, remove_run_folder
from hutch_launchers.sources import check_target, open_sources
from hutch_launchers.spec import Ability, Guarantee, Mount, SandboxSpec
from hutch_launchers.system_view import SystemView, look

_FLAGS = (
    "--quiet",
    "--noprofile",
    "--deterministic-exit-code",
    "--deterministic-shutdown",
    "--net=none",
    "--ipc-namespace",
    "--hostname=hutch",
    "--private-dev",
    "--caps.drop=all",
    "--nonewprivs",
    "--nogroups",
    "--seccomp",
    "--restrict-namespaces",
    "--protocol=unix,inet,inet6,netlink",
    "--dbus-user=none",
    "--dbus-system=none",
    "--disable-mnt",
    "--blacklist=/sys",
)
_ROOT_READS = tuple(f"/proc/{name}" for name in ("vmallocinfo", "slabinfo", "pagetypeinfo", "kpage*"))
_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "proc", "sys", "dev")
_ADDED = (
    "DBUS_SESSION_BUS_ADDRESS",
    "DBUS_SYSTEM_BUS_ADDRESS",
    "FIREJAIL_QUIET",
    "HOME",
    "KDE_FORK_SLAVES",
    "LOGNAME",
    "PROMPT_COMMAND",
    "QML_DISABLE_DISK_CACHE",
    "QT_X11_NO_MITSHM",
    "SHELL",
    "USER",
    "container",
)
_NAMES = ("passwd", "group")  # without them firejail complains
_NONE = "hutch-nothing"  # granted in a folder that firejail needs, to hide all that is in it
_NEEDED = ("run", "var", "tmp")
_TRIES = 12  # other programs mount and unmount on the host at any time
_PAUSE_S = 0.1
_MOUNT_WENT = re.compile(r"invalid [\w-]+ mount")


@dataclass(frozen=True, slots=True)
class FirejailLauncher(FrontMethod):
    """Configuration only."""

    traits: ClassVar[Traits] = Traits(
        mechanisms={
            Guarantee.FILESYSTEM: "mount namespace",
            Guarantee.NETWORK: "network namespace",
            Guarantee.PROCESSES: "PID namespace",
            Guarantee.SYSCALLS: "firejail's seccomp",
        },
        abilities=frozenset({Ability.NESTED, Ability.FREEZE}),
        has_short_words=True,
        adds=_ADDED,
    )

    name: str = "firejail"
    readable: tuple[str, ...] = ()  # further host paths to read
    probe_cache: Path | None = None

    async def find(self) -> Tool:
        found = shutil.which("firejail", path=PATH)
        if found is None:
            raise LauncherError("method_unavailable", "firejail is not installed", "apt install firejail")
        if os.geteuid() != 0 and not Path(found).stat().st_mode & stat.S_ISUID:
            raise LauncherError(
                "method_unavailable", f"{found} is not setuid", "reinstall the distribution's package"
            )
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            reason = f"firejail needs an account, and {os.geteuid()} is none"
            raise LauncherError(
                "method_unavailable", reason, "run the daemon as a user of the host"
            ) from None
        return Tool(found)

    def judge(self, evidence: Mapping[Guarantee, Evidence]) -> Mapping[Guarantee, Evidence]:
        if evidence[Guarantee.PROCESSES].held:
            return without_affinity(evidence)
        # where it sees no threads of the kernel it starts the command as it is
        none = Evidence(held=False, mechanism="", detail="firejail made no sandbox, as within another")
        return dict.fromkeys(evidence, none)

    def explain(self, tool: Tool, error: LauncherError) -> tuple[str, str]:
        if "firejail.users" in error.message:
            name = pwd.getpwuid(os.geteuid()).pw_name
            return f"{name} is not allowed to use firejail", f"as root: firecfg --add-users {name}"
        return error.message, error.hint

    def check(self, spec: SandboxSpec) -> None:
        for mount in spec.mounts:
            check_target(mount.target)

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        open_sources(spec.mounts, held)
        own = make_own_paths(spec.run_id, spec.mounts)
        held.callback(remove_run_folder, spec.run_id)
        folders = [entry.name for entry in os.scandir("/") if entry.is_dir(follow_symlinks=False)]
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
        argv = firejail_argv(tool.path, own, self.readable, sorted(folders), look(()), home)
        return Start(argv, spec, adapt=own.command, env={"HOME": str(Path.home())})

    @asynccontextmanager
    async def _launch(self, spec: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
        async with AsyncExitStack() as held:
            yield await self._started(spec, held)

    async def _started(self, spec: SandboxSpec, held: AsyncExitStack) -> SandboxProcess:
        """It fails where a mount of the host comes or goes while it makes its own: it is started again."""
        failures = 0
        while True:
            try:
                return await held.enter_async_context(FrontMethod._launch(self, spec))
            except LauncherError as error:
                failures += 1
                if failures == _TRIES or not _MOUNT_WENT.search(error.message):
                    raise
            await anyio.sleep(_PAUSE_S)

    async def sweep(self, run_id: str) -> bool:
        found = await FrontMethod.sweep(self, run_id)
        return await anyio.to_thread.run_sync(remove_run_folder, run_id) or found


def firejail_argv(
    program: str,
    own: OwnPaths,
    readable: Sequence[str],
    folders: Sequence[str],
    view: SystemView,
    home: Path,
) -> list[str]:
    """The words around a command; `folders` are those of the host's root, `home` is the user's."""
    granted = [own.folder, *(mount.source for mount in own.mounts), *map(Path, readable)]
    hidden = [word for name in folders if name not in _SYSTEM for word in _hide(name, granted)]
    if not any(path.is_relative_to(home) or home.is_relative_to(path) for path in granted):
        hidden.append(f"--blacklist={home}")  # it comes back by itself where a folder above it is whitelisted
    etc = sorted({*_NAMES} | {Path(path).parts[2] for path in _etc(view)})
    locks = [word for mount in own.mounts for word in _lock(mount, granted)]
    locks += [f"--read-only={path}" for path in readable]
    of_root = _of_root(own.folder) if os.geteuid() == 0 else ()
    return [program, *_FLAGS, f"--private-etc={','.join(etc)}", *hidden, *of_root, *locks, "--", PLACE]


def _of_root(folder: Path) -> Iterator[str]:
    """What root would be let read and write by its number alone."""
    yield from (f"--blacklist={path}" for path in _ROOT_READS)
    yield from (f"--read-only={path}" for path in ("/", "/dev", "/etc", "/proc", "/run", "/var"))
    yield from (f"--read-write={path}" for path in (folder, "/dev/shm", "/run/firejail/mnt"))


def _lock(mount: Mount, granted: Sequence[Path]) -> Iterator[str]:
    """A folder inside another is made a mount, or it could be renamed: only a change of mode makes one."""
    is_inside = any(path in mount.source.parents for path in granted)
    if is_inside or not mount.writable:
        yield f"--read-only={mount.source}"
    if mount.writable:
        yield f"--read-write={mount.source}"


def _hide(name: str, granted: Sequence[Path]) -> Iterator[str]:
    """Everything of one of the root's folders but what is granted."""
    folder = Path("/", name)
    if folder in granted:
        return
    inside = [path for path in granted if path.is_relative_to(folder)]
    if not inside and name not in _NEEDED:
        yield f"--blacklist={folder}"
    else:
        yield from (f"--whitelist={path}" for path in inside or [folder / _NONE])


def _etc(view: SystemView) -> Iterator[str]:
    paths = (*view.folders, *(path for _, path in view.links), *(path for path, _ in view.files))
    return (path for path in paths if path.startswith("/etc/"))
