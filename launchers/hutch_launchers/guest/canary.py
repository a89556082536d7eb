"""Tries, inside a sandbox, what a sandbox must not allow, and prints what it saw as one JSON object.

Standard input: the assignment as JSON, made by `probe`. Everything tried is harmless where it succeeds: it
touches only what the probe made for the purpose.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

Assignment = dict[str, Any]
_MIB = 1 << 20
_REFUSED = (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT)
_CONNECT_S = 0.3
_MEMBARRIER = {"x86_64": 324, "aarch64": 283}  # its query answers with what this kernel knows


def files(asked: Assignment) -> list[str]:
    """What of the host's files was read or could be changed."""
    seen = []
    for canary in asked["files"]:
        for path in (canary, f"/proc/1/root{canary}", f"/proc/{asked['pid']}/root{canary}"):
            with suppress(OSError, ValueError):
                if asked["token"] in Path(path).read_text(encoding="utf-8"):
                    seen.append(f"read {path}")
            with suppress(OSError), Path(path).open("r+b"):
                seen.append(f"opened {path} for writing")
        with suppress(OSError):
            made = Path(canary).with_suffix(".made")
            made.touch()
            seen.append(f"made {made}")
        with suppress(OSError):
            Path(canary).chmod(0o666)  # as it is
            seen.append(f"set the mode of {canary}")
    for path in (
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/etc/passwd",
        "/usr/lib/os-release",
    ):
        with suppress(OSError):
            os.close(os.open(path, os.O_WRONLY))
            seen.append(f"opened {path} for writing")
    for path in ("/dev/null", "/proc/cpuinfo", "/proc/1/exe"):  # an owner may, though it may not write
        with suppress(OSError):
            Path(path).chmod(Path(path).stat().st_mode & 0o7777)  # to what it is
            seen.append(f"set the mode of {path}")
    return seen


def network(asked: Assignment) -> list[str]:
    """What was reached that is outside."""
    seen = []
    for host, port in asked["tcp"]:
        with suppress(OSError), socket.create_connection((host, port), _CONNECT_S):
            seen.append(f"connected to {host} port {port}")
    for name in asked["unix"]:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
            sock.connect(name.replace("@", "\0", 1))
            seen.append(f"connected to the unix socket {name}")
    for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))  # sends nothing: it asks for a route
            seen.append(f"has a route to {address}")
    return seen


def processes(asked: Assignment) -> list[str]:
    """What of the host's processes was seen or signalled; leaves a daemon, which must not outlive us."""
    seen = []
    with suppress(OSError):
        # Else its number is another's
        if str(Path("/proc/self/ns/pid").readlink()) == asked["pid_namespace"]:
            os.kill(asked["pid"], signal.SIGTERM)
            seen.append(f"signalled the host's process {asked['pid']}")
    for folder in _listed("/proc"):
        with suppress(OSError):
            is_process = folder.name.isdigit()
            if is_process and asked["token"] in (folder / "cmdline").read_text(errors="replace"):
                seen.append(f"saw the host's process {folder.name}")
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            for fd in range(3):
                os.dup2(os.open(os.devnull, os.O_RDWR), fd)
            sleeper = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)", asked["daemon"]]
            os.execv(sleeper[0], sleeper)  # noqa: S606 - no shell is wanted
        os._exit(0)
    os.wait()
    return seen


def _listed(folder: str) -> list[Path]:
    with suppress(OSError):
        return list(Path(folder).iterdir())
    return []


def syscalls(asked: Assignment) -> list[str]:
    """Which risky system calls the kernel answered."""
    libc = ctypes.CDLL(None, use_errno=True)
    seen: list[str] = []
    for name, number, arguments in asked["syscalls"]:
        pid = os.fork()  # one that succeeds must not change this process
        if pid == 0:
            ctypes.set_errno(0)
            result = libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(value) for value in arguments))
            os._exit(0 if result == -1 and ctypes.get_errno() in _REFUSED else 1)
        if os.waitpid(pid, 0)[1] != 0:
            seen.append(name)
    return seen


def kernel(_: Assignment) -> dict[str, object]:
    """What the kernel that answers us says of itself."""
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    libc = ctypes.CDLL(None, use_errno=True)
    return {
        "version": " ".join(os.uname()[2:4]),
        "boot_id": boot,
        "booted_at": time.time() - time.clock_gettime(time.CLOCK_BOOTTIME),
        "barriers": libc.syscall(_MEMBARRIER.get(os.uname().machine, -1), 0, 0, 0),
    }


def disk(asked: Assignment) -> int:
    """How many bytes the private folders took together, at most half as much again as the limit."""
    limit = asked["disk_bytes"]
    most, taken, made = limit + limit // 2, 0, []
    for folder in ("/tmp", os.environ.get("HOME", "/"), "/dev/shm", "/var/tmp", "/run", "/dev", "/", "."):
        path = Path(folder, asked["token"] + ".fill")
        with suppress(OSError), path.open("xb", buffering=0) as file:
            made.append(path)
            while taken < most:
                taken += file.write(bytes(_MIB // 4))
    for path in made:
        path.unlink()
    return taken


def pids(asked: Assignment) -> int:
    """How many processes there were at once, at most half as many again as the limit and ten."""
    born: list[int] = []
    with suppress(OSError):
        while len(born) < asked["pids"] * 3 // 2 + 10:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            born.append(pid)
    for pid in born:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return len(born) + 1


def cpu(asked: Assignment) -> float:
    """How many CPUs as many busy processes as the host has CPUs, and one, got together."""
    count = asked["cpu_count"]
    with suppress(OSError):
        os.sched_setaffinity(0, range(count))  # a limit that we could lift is none
    until = time.monotonic() + asked["burn_s"]
    started = time.monotonic()
    born = [_burn_until(until) for _ in range(count + 1)]
    for pid in born:
        os.waitpid(pid, 0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) / (time.monotonic() - started)


def _burn_until(until: float) -> int:
    pid = os.fork()
    if pid == 0:
        while time.monotonic() < until:
            pass
        os._exit(0)
    return pid


def memory(asked: Assignment) -> int:
    """How many bytes processes of an eighth of the limit held at once, at most twice the limit."""
    each: int = asked["memory_bytes"] // 8
    reader, writer = os.pipe()
    born = []
    for _ in range(16):
        pid = os.fork()
        if pid == 0:
            with suppress(MemoryError):
                hoard = bytearray(each)
                hoard[::4096] = b"x" * len(hoard[::4096])
                os.write(writer, b"x")
                signal.pause()
            os._exit(1)
        born.append(pid)
    os.close(writer)
    os.set_blocking(reader, False)
    alive = born
    # One that is being killed holds nothing any more, and on a busy host it takes its time
    for _ in range(4):
        time.sleep(asked["hold_s"])
        alive = [pid for pid in alive if os.waitpid(pid, os.WNOHANG) == (0, 0)]
        if len(alive) * each <= asked["memory_bytes"]:
            break
    touched = 0
    with suppress(BlockingIOError):
        touched = len(os.read(reader, 99))
    for pid in born:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return min(len(alive), touched) * each


def leave_groups() -> None:
    """Go where no limit is, if we may: then the limits hold nobody who does not want it."""
    text = "0::/\n1:memory:/\n2:pids:/\n3:cpu,cpuacct:/\n"  # where our own cannot be asked
    with suppress(OSError):
        text = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        for root in (f"/sys/fs/cgroup/{names}", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
            for group in ("", str(Path(path).parent)):
                with suppress(OSError):
                    Path(f"{root}{group}/cgroup.procs").write_text("0", encoding="ascii")


TRIALS = {f.__name__: f for f in (files, network, processes, syscalls, kernel, disk, pids, cpu, memory)}


def main() -> None:
    """Run the trials that are asked for; each tells its name and its answer at once: it may end us."""
    asked = json.load(sys.stdin)
    leave_groups()
    for name in asked["trials"]:
        sys.stdout.write(json.dumps({"trial": name}) + "\n")
        sys.stdout.flush()
        sys.stdout.write(json.dumps({name: TRIALS[name](asked)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
