"""What a sandbox without mounts of its own may open of the host, as a Landlock ruleset."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

from hutch_launchers.landlock import READ, USE, WRITE, Rule, make_ruleset
from hutch_launchers.own_paths import OwnPaths
from hutch_launchers.spec import Command
from hutch_launchers.system_view import look

DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom"))
_PLAIN_PROC = ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys", "uptime", "version")


@dataclass(frozen=True, slots=True)
class HostView:
    """The host's part of it; what is absent is left out."""

    system: tuple[str, ...]  # folders that hold programs
    readable: tuple[str, ...]
    proc: str  # "visible" is all of it, "hidden" what tells of the machine

    def __post_init__(self) -> None:
        if self.proc not in ("hidden", "visible"):
            raise ValueError(f"'proc' is 'hidden' or 'visible', not {self.proc!r}")

    def ruleset(self, own: OwnPaths, sources: Sequence[int], ports: Iterable[int] = ()) -> int:
        """With a run's mounts, open in `sources`, its own folders and its doors' ports; as a descriptor.

        Raises OSError.
        """
        mounted = [
            Rule(fd, WRITE if mount.writable else READ) for fd, mount in zip(sources, own.mounts, strict=True)
        ]
        with ExitStack() as opened:
            return make_ruleset([*mounted, *self._rules(own, opened)], ports)

    def _rules(self, own: OwnPaths, opened: ExitStack) -> Iterator[Rule]:
        proc = ("/proc",) if self.proc == "visible" else tuple(f"/proc/{name}" for name in _PLAIN_PROC)
        readable = (*system_paths(self.system), *self.readable, *proc)
        private = (str(own.home), str(own.temporary))
        for paths, access in ((readable, READ), (DEVICES, USE), (private, WRITE)):
            for path in paths:
                with suppress(OSError):
                    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
                    opened.callback(os.close, fd)
                    yield Rule(fd, access)


def without_system(command: Command) -> Command:
    """Git takes a configuration of the host that it may not read for an error; elsewhere there is none."""
    return replace(command, env={"GIT_CONFIG_NOSYSTEM": "1", **command.env})


def system_paths(folders: tuple[str, ...]) -> tuple[str, ...]:
    """The host's paths that are in the view of these; links among them lead into its folders."""
    view = look(folders)
    return (*view.folders, *(path for path, _ in view.files))
