"""Kernel: what a flaw in it could be reached by, other processes, and privileges."""

from hutch_launchers.contract.bench import Bench
from hutch_launchers.contract.case import Case, expect
from hutch_launchers.spec import Guarantee

_CALLS = frozenset({Guarantee.SYSCALLS})
_PROCESSES = frozenset({Guarantee.PROCESSES})

_KILLS = """
import os
print('begun', flush=True)  # its own first process may end all of the sandbox for what follows
for pid, number in {}:
    try:
        os.kill(pid, number)
    except OSError:
        pass
"""
_ALL = "[(-1, 15), (-1, 9)]"
_BY_NUMBER = "[(pid, 9) for pid in range(32999, 1, -1) if pid != os.getpid()]"


async def kill_all(bench: Bench) -> None:
    """kill(-1) and kill of every number: another sandbox and the host's processes live on."""
    async with bench.launcher.launch(bench.spec(bench.sh("echo ready; read x; echo alive"))) as neighbour:
        await neighbour.stdout.receive()
        for targets in (_ALL, _BY_NUMBER):
            done = await bench.run(bench.program(_KILLS.format(targets)))
            expect("begun" in done.out, done.err)
        await neighbour.stdin.send(b"\n")
        expect(b"alive" in await neighbour.stdout.receive(), "another sandbox was ended")


CASES = (
    Case("kernel/io-uring", "io_uring", _CALLS),
    Case(
        "kernel/ptrace",
        "ptrace, process_vm_readv, /proc/1/mem, pidfd_getfd, kcmp",
        _CALLS | _PROCESSES,
    ),
    Case("kernel/tiocsti", "TIOCSTI, and the host's terminals", _CALLS),
    Case("kernel/af-packet", "AF_PACKET and raw sockets", _CALLS),
    Case("kernel/af-alg", "AF_ALG", _CALLS),
    Case("kernel/af-vsock", "AF_VSOCK", _CALLS),
    Case(
        "kernel/other-families",
        "Every other family of sockets, every netlink protocol but routing",
        _CALLS,
    ),
    Case("kernel/nested-namespaces", "A nested namespace of any kind, and a mount in it", _CALLS),
    Case("kernel/bpf", "bpf", _CALLS),
    Case("kernel/perf-event-open", "perf_event_open", _CALLS),
    Case("kernel/userfaultfd", "userfaultfd", _CALLS),
    Case("kernel/keyctl", "keyctl, add_key, request_key", _CALLS),
    Case("kernel/open-by-handle-at", "open_by_handle_at, name_to_handle_at, fanotify", _CALLS),
    Case("kernel/module-loading", "Modules and kexec", _CALLS),
    Case(
        "kernel/administration",
        "reboot, swapon, clocks, host name, kernel log, I/O ports, personality",
        _CALLS,
    ),
    Case("kernel/other-abi", "The 32-bit gate, x32 numbers, numbers newer than the filter", _CALLS),
    Case("kernel/setuid-programs", "setuid programs", _CALLS),
    Case("kernel/raise-limits", "Raising a limit or a priority", _CALLS),
    Case("kernel/host-processes", "The host's processes, command lines and environments", _PROCESSES),
    Case("kernel/kill-all", "kill(-1) reaches only its own", _PROCESSES, watch=kill_all),
)
