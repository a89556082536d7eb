"""Measures what a method gives here: canaries are put on the host, code in a sandbox tries to reach them.

Two sandboxes, at the same time: one looks around, one strains against limits.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream

from hutch_launchers import proc
from hutch_launchers.cpu_meter import CpuMeter
from hutch_launchers.kernels import look_at_kernel, own_kernel
from hutch_launchers.launcher import Evidence, LauncherError, SandboxProcess
from hutch_launchers.limits import mechanisms as limit_mechanisms
from hutch_launchers.measuring import clear_interrupted, noted
from hutch_launchers.sizes import size
from hutch_launchers.spec import Ability, Command, Guarantee, Limits, SandboxSpec
from hutch_launchers.syscalls import MACHINES
from hutch_launchers.system_view import HOME

Observations = Mapping[str, Any]
Launch = Callable[[SandboxSpec], AbstractAsyncContextManager[SandboxProcess]]

_CANARY = Path(__file__).parent / "guest" / "canary.py"
_PATIENCE_S = 20.0  # for both sandboxes together, on a busy host
_DRAIN_S = 0.2  # what a trial left running may hold the pipe
_MAX_ANSWER = 1 << 20  # bytes
_LOOK = ("files", "network", "processes", "syscalls", "kernel")
_STRAIN = ("disk", "pids", "cpu", "memory")  # memory last: it may end the sandbox
_MIB = 1 << 20
_LIMITS = Limits(
    wall_s=_PATIENCE_S, memory_bytes=96 * _MIB, pids=24, cpus=1.0, disk_bytes=8 * _MIB, open_files=256
)
_BURN_S, _HOLD_S = 0.3, 0.5  # the second: several looks of the watch over memory
_SLACK = 1.3  # of CPU time: a quota is handed out in slices of a tenth of a second
_HIGH = 1 << 32  # beside a value that the kernel cuts to 32 bits
_NEWUSER, _TIOCSTI, _AF_VSOCK, _AF_ALG, _AF_PACKET = 0x10000000, 0x5412, 40, 38, 17
UNFINISHED = "the trial did not finish"
_STATUS, _COMPLAINT = "status", "complaint"  # of a sandbox, beside what its trials found
_CPU_HERE = "CPUs, as the host counts them"
_CALLS: tuple[tuple[str, str, tuple[int, ...]], ...] = (  # name, call, arguments
    ("io_uring_setup", "io_uring_setup", (1, 0)),
    ("ptrace", "ptrace", (0, 0, 0, 0)),
    ("process_vm_readv", "process_vm_readv", (1, 0, 0, 0, 0, 0)),
    ("bpf", "bpf", (0, 0, 0)),
    ("perf_event_open", "perf_event_open", (0, 0, 0, 0, 0)),
    ("userfaultfd", "userfaultfd", (1,)),
    ("keyctl", "keyctl", (0, 0, 0)),
    ("open_by_handle_at", "open_by_handle_at", (0, 0, 0)),
    ("unshare of a user namespace", "unshare", (_NEWUSER,)),
    ("clone of a user namespace", "clone", (_NEWUSER, 0, 0, 0, 0)),
    ("clone3", "clone3", (0, 0)),
    ("mount", "mount", (0, 0, 0, 0, 0)),
    ("fsopen", "fsopen", (0, 0)),
    ("setns", "setns", (0, 0)),
    ("TIOCSTI", "ioctl", (0, _TIOCSTI, 0)),
    ("TIOCSTI with a high bit", "ioctl", (0, _TIOCSTI | _HIGH, 0)),
    ("AF_ALG", "socket", (_AF_ALG, 5, 0)),
    ("AF_VSOCK", "socket", (_AF_VSOCK, 1, 0)),
    ("AF_PACKET", "socket", (_AF_PACKET, 3, 0)),
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a method brings to be measured."""

    launch: Launch
    python: str  # inside
    env: Mapping[str, str]  # what it needs there
    mechanisms: Mapping[Guarantee, str]  # what the method says holds each; the limits say it of themselves
    method: str  # its name
    reap: Callable[[str], Awaitable[bool]]  # as `Launcher.reap`


async def measure(bench: Bench) -> Mapping[Guarantee, Evidence]:
    """Run both sandboxes and judge. Raises LauncherError when one cannot be made at all."""
    await clear_interrupted(bench.method, bench.reap)
    runs = [f"probe-{secrets.token_hex(8)}" for _ in (*_LOOK, *_STRAIN)]  # each may need a sandbox
    token = "hutch-canary-" + secrets.token_hex(8)
    folders = [folder / token for folder in _canary_folders()]
    with noted(bench.method, runs, folders), ExitStack() as stack:
        assignment = _put_canaries(stack, token, folders)
        found = await _observe(bench, assignment, iter(runs))
        found["outlived"] = list(proc.pids_with_argument(assignment["daemon"]))
        for pid in found["outlived"]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    mechanisms_here = {**bench.mechanisms, **limit_mechanisms(_LIMITS)}
    return {
        guarantee: Evidence(not seen, mechanisms_here.get(guarantee, "") if not seen else "", seen or tried)
        for guarantee, (tried, seen) in _judge(found).items()
    }


async def _observe(bench: Bench, assignment: Mapping[str, Any], runs: Iterator[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    errors: list[LauncherError] = []

    async def run(trials: Sequence[str]) -> None:
        try:
            while trials:
                told = await _run(bench, next(runs), {**assignment, "trials": trials})
                found.update(told)
                missing = [trial for trial in trials if trial not in told]
                if missing:  # it ended its sandbox: the others are made in a further one
                    found[_end(missing[0])] = told
                trials = missing[1:]
        except LauncherError as error:
            errors.append(error)

    with anyio.move_on_after(_PATIENCE_S):
        async with anyio.create_task_group() as both:
            both.start_soon(run, _LOOK)
            both.start_soon(run, _STRAIN)
    if errors:
        raise errors[0]
    return found


def _put_canaries(stack: ExitStack, token: str, folders: Sequence[Path]) -> dict[str, Any]:
    """Put canaries on the host that `stack` takes away, and write the assignment that names them."""
    files = [_put_file(stack, folder, token) for folder in folders]
    path = str(Path(files[0]).with_suffix(".sock")) if files else ""
    listeners = [_listen(stack, address) for address in dict.fromkeys(("127.0.0.1", _own_address()))]
    for name in ("\0" + token, path):
        sock = stack.enter_context(socket.socket(socket.AF_UNIX))
        sock.bind(name)
        sock.listen()
    sleeper = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()", token]  # ends with us
    process = subprocess.Popen(sleeper, env={}, stdin=subprocess.PIPE, start_new_session=True)
    stack.enter_context(process)
    stack.callback(process.kill)
    machine = MACHINES.get(os.uname().machine)
    calls = [(name, machine.numbers[call], args) for name, call, args in _CALLS] if machine else None
    return {
        "token": token,
        "daemon": token + "-daemon",
        "pid": process.pid,
        "pid_namespace": str(Path("/proc/self/ns/pid").readlink()),
        "files": files,
        "tcp": listeners,
        "unix": ["@" + token, path],
        "syscalls": calls,
        "memory_bytes": _LIMITS.memory_bytes,
        "disk_bytes": _LIMITS.disk_bytes,
        "pids": _LIMITS.pids,
        "cpu_count": os.cpu_count() or 1,
        "burn_s": _BURN_S,
        "hold_s": _HOLD_S,
    }


def _canary_folders() -> Iterator[Path]:
    """Where a method might let the host show through."""
    for path in (tempfile.gettempdir(), str(Path.home()), "/var/tmp", "/dev/shm", "/run"):
        if os.access(path, os.W_OK):
            yield Path(path)


def _put_file(stack: ExitStack, made: Path, token: str) -> str:
    made.mkdir(mode=0o700)
    stack.callback(shutil.rmtree, made, ignore_errors=True)
    made.chmod(0o777)  # the method must keep it, not its mode
    file = made / "canary"
    file.write_text(token, encoding="utf-8")
    file.chmod(0o666)
    return str(file)


def _own_address() -> str:
    """The host's address towards the world; its loopback when it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, suppress(OSError):
        sock.connect(("192.0.2.1", 9))  # sends nothing
        return str(sock.getsockname()[0])
    return "127.0.0.1"


def _listen(stack: ExitStack, address: str) -> tuple[str, int]:
    sock = stack.enter_context(socket.create_server((address, 0)))
    return address, sock.getsockname()[1]


async def _run(bench: Bench, run_id: str, assignment: Mapping[str, Any]) -> Observations:
    """Let the canary loose in a sandbox; what it had told when it was ended counts."""
    argv = (bench.python, "-I", "-S", "-c", _CANARY.read_text(encoding="utf-8"))
    command = Command(argv, PurePosixPath("/"), {"PATH": "/usr/bin:/bin", "HOME": HOME, **bench.env})
    spec = SandboxSpec(run_id, command, (), _LIMITS, None, frozenset())
    told, complaint = bytearray(), bytearray()
    async with bench.launch(spec) as process, anyio.create_task_group() as readers:
        readers.start_soon(_read, process.stdout, told)
        readers.start_soon(_read, process.stderr, complaint)
        meter = CpuMeter(process.pid)
        readers.start_soon(meter.watch, told, b'{"trial": "cpu"}', b'{"cpu": ')
        with suppress(anyio.BrokenResourceError):
            await process.stdin.send(json.dumps(assignment).encode())
            await process.stdin.aclose()
        status = await process.wait()
        readers.cancel_scope.deadline = anyio.current_time() + _DRAIN_S
    last_words = complaint.decode(errors="replace").strip()[-500:]
    found: dict[str, Any] = {_STATUS: status, _COMPLAINT: last_words}
    if meter.cpus:
        found[_CPU_HERE] = meter.cpus
    for line in told.splitlines():
        with suppress(ValueError):
            found.update(json.loads(line))
    return found


async def _read(stream: ByteReceiveStream, into: bytearray) -> None:
    with suppress(anyio.EndOfStream):
        while len(into) < _MAX_ANSWER:
            into += await stream.receive()


def _judge(found: Observations) -> Mapping[Guarantee, tuple[str, str]]:
    """For each guarantee what was tried, and what was seen that must not be: empty if it held."""
    kernel = own_kernel(found.get("kernel"), look_at_kernel(), _unfinished(found, "kernel"))
    has_host_s_clock = bool(kernel[1])
    cpu = "cpu" if has_host_s_clock or _CPU_HERE not in found else _CPU_HERE
    return {
        Guarantee.FILESYSTEM: ("host files were neither read nor changed", _listed(found, "files")),
        Guarantee.NETWORK: ("nothing outside was reached, no route leads there", _listed(found, "network")),
        Guarantee.PROCESSES: (
            "no process of the host was seen or signalled, a daemon ended with the sandbox",
            _listed(found, "processes") or ("a daemon outlived the sandbox" if found["outlived"] else ""),
        ),
        Guarantee.SYSCALLS: (f"{len(_CALLS)} risky calls were refused", _listed(found, "syscalls")),
        Guarantee.KERNEL: kernel,
        Guarantee.DISK: _bounded(found, "disk", _LIMITS.disk_bytes or 0, "in private folders", size),
        Guarantee.PIDS: _bounded(found, "pids", _LIMITS.pids or 0, "processes at once"),
        Guarantee.CPU: _bounded(found, cpu, (_LIMITS.cpus or 0) * _SLACK, "CPUs used together"),
        Guarantee.MEMORY: _memory(found),
    }


def _end(trial: str) -> str:
    """Under which name is found what was told by a sandbox that ended in a trial."""
    return f"end of {trial}"


def _listed(found: Observations, trial: str) -> str:
    return "; ".join(found[trial][:5]) if trial in found else _unfinished(found, trial)


def _bounded(
    found: Observations, trial: str, limit: float, what: str, told: Callable[[float], str] = "{:.3g}".format
) -> tuple[str, str]:
    if trial not in found:
        return "", _unfinished(found, trial)
    seen = f"{told(found[trial])} {what}, the limit being {told(limit)}"
    return seen, "" if found[trial] <= limit else seen


def _memory(found: Observations) -> tuple[str, str]:
    end = found.get(_end("memory"))
    if end and end[_STATUS].limit is Guarantee.MEMORY:
        return "the sandbox was ended for its memory", ""
    return _bounded(found, "memory", _LIMITS.memory_bytes or 0, "held together", size)


def is_finished(evidence: Mapping[Guarantee, Evidence], unable: Mapping[Ability, str]) -> bool:
    """Whether every trial came to its end: what a busy host cut short is not to be remembered."""
    seen = [*(shown.detail for shown in evidence.values()), *unable.values()]
    return not any(detail.startswith(UNFINISHED) for detail in seen)


def _unfinished(found: Observations, trial: str) -> str:
    end = found.get(_end(trial), {})
    if end and (limit := end[_STATUS].limit):  # no chance: another time it will be the same
        return f"its sandbox as a whole was ended by the limit of {limit}"
    return f"{UNFINISHED}: {end.get(_COMPLAINT) or 'the sandbox ended first'}"
