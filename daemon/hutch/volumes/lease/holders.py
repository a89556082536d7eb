"""Who holds a lease: which process, on which host, since which boot, and whether it still lives."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Of /proc/PID/stat after the command's closing parenthesis: field 22, starttime (proc(5))
_STARTED_FIELD = 19


@dataclass(frozen=True, slots=True)
class Holder:
    """A process, named so that no later one is taken for it."""

    host: str
    boot: str
    pid: int
    pid_started: int  # clock ticks after boot

    @property
    def is_known_dead(self) -> bool:
        """True only with certainty: on this host and boot, and not in another PID namespace."""
        here = this_process()
        if (self.host, self.boot) != (here.host, here.boot):
            return False
        return _started(self.pid) != self.pid_started


def this_process() -> Holder:
    """The process that asks."""
    pid = os.getpid()
    return Holder(_host(), boot_id(), pid, _started(pid))


@cache
def boot_id() -> str:
    """Random, new with each boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@cache
def _host() -> str:
    # Containers share a boot; processes of another PID namespace cannot be looked for in this one.
    namespace = Path("/proc/self/ns/pid").readlink().name
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    return f"{machine or os.uname().nodename} {namespace}"


def _started(pid: int) -> int:
    """0: no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in ("Z", "X") else int(fields[_STARTED_FIELD])
