"""Attacks on other processes, on limits, and on privileges."""

import ctypes
import os
import resource
import subprocess
import threading
from pathlib import Path
from typing import NoReturn

from hutch_launchers.contract.attacks.calls import NR
from hutch_launchers.contract.attacks.inside import (
    FACTS,
    Absent,
    Contained,
    allowed,
    attack,
    denied,
    supervisor,
    syscall,
)

_PR_GET_NO_NEW_PRIVS = 39
_params = ctypes.create_string_buffer(256)


@attack("kernel/ptrace")
def attach_to_pid_1() -> NoReturn:
    denied(NR["ptrace"], 16, 1, 0, 0)


@attack("kernel/ptrace")
def seize_pid_1() -> NoReturn:
    denied(NR["ptrace"], 0x4206, 1, 0, 0)


@attack("kernel/ptrace")
def trace_me() -> NoReturn:
    denied(NR["ptrace"], 0, 0, 0, 0)


@attack("kernel/ptrace")
def read_memory_of_pid_1() -> NoReturn:
    denied(NR["process_vm_readv"], 1, _params, 1, _params, 1, 0)


@attack("kernel/ptrace")
def write_memory_of_pid_1() -> NoReturn:
    denied(NR["process_vm_writev"], 1, _params, 1, _params, 1, 0)


@attack("kernel/ptrace")
def open_memory_of_pid_1() -> None:
    Path(supervisor(), "mem").open("r+b").close()


@attack("kernel/ptrace")
def steal_a_descriptor_of_pid_1() -> NoReturn:
    denied(NR["pidfd_getfd"], syscall(NR["pidfd_open"], 1, 0), 0, 0)


@attack("kernel/ptrace")
def compare_kernel_objects() -> NoReturn:
    denied(NR["kcmp"], 1, 1, 0, 0, 0)


@attack("kernel/ptrace")
def advise_memory_of_pid_1() -> NoReturn:
    denied(NR["process_madvise"], syscall(NR["pidfd_open"], 1, 0), _params, 1, 20, 0)


@allowed("kernel/ptrace")
def a_child_is_started_and_waited_for() -> None:
    assert subprocess.run(["/bin/true"], check=False).returncode == 0
    threading.Thread(target=int).start()


@attack("kernel/host-processes")
def canary_in_any_command_line_or_environment() -> str | None:
    word = FACTS["process_canary"].encode()
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ", "comm", "status"):
            try:
                content = (folder / name).read_bytes()
            except OSError:
                continue
            # our own command line brings the word in; nobody else's may hold it
            if word in content and int(folder.name) not in _own_ancestry():
                return f"{folder.name}/{name}"
    raise Contained("only own processes are in /proc")


@attack("kernel/host-processes")
def proc_is_of_another_namespace() -> str | None:
    pids = [int(p.name) for p in Path("/proc").glob("[0-9]*")]
    if not pids:
        raise Contained("no process is shown at all")
    if len(pids) < 20 and 1 in pids and os.readlink("/proc/self") == str(os.getpid()):
        raise Contained(f"{len(pids)} processes")
    return f"{len(pids)} processes"


@attack("kernel/host-processes")
def signal_a_process_of_the_host() -> None:
    os.kill(FACTS["canary_pid"], 0)


@allowed("kernel/host-processes")
def own_processes_are_seen() -> None:
    if not list(Path("/proc").glob("[0-9]*")):
        raise Absent("a sandbox of this method is shown no processes")
    assert Path("/proc/self/status").read_text().startswith("Name:")


def _own_ancestry() -> set[int]:
    found = {os.getpid()}
    pid = os.getppid()
    while pid > 0:
        found.add(pid)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pid = int(fields[1])
    return found


@attack("kernel/raise-limits")
def raise_a_hard_limit() -> str | None:
    for name in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_MEMLOCK, resource.RLIMIT_AS):
        _, hard = resource.getrlimit(name)
        if hard == resource.RLIM_INFINITY:
            continue
        try:
            resource.setrlimit(name, (hard + 1, hard + 1))
        except (ValueError, PermissionError):
            continue
        return f"limit {name} was raised above {hard}"
    raise Contained("no hard limit can be raised")


@attack("kernel/raise-limits")
def become_real_time() -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))


@attack("kernel/raise-limits")
def become_more_important() -> None:
    _refuse_own_kernel()
    os.setpriority(os.PRIO_PROCESS, 0, -5)


@attack("kernel/raise-limits")
def protect_from_the_oom_killer() -> None:
    _refuse_own_kernel()
    Path("/proc/self/oom_score_adj").write_text("-1000")


@attack("kernel/raise-limits")
def control_groups_within_reach() -> str:
    if names := os.listdir("/sys/fs/cgroup"):
        return ", ".join(names[:5])
    raise Contained("an empty folder")


def _refuse_own_kernel() -> None:
    """Raise Absent where the host's scheduler hears nothing of it."""
    if FACTS.get("own_kernel"):
        raise Absent("it has a kernel of its own: what it says of itself means nothing to the host's")


@allowed("kernel/raise-limits")
def lower_a_limit() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


@attack("kernel/setuid-programs")
def privileges_are_not_gained() -> str | None:
    status = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line
    )
    sets = [int(value, 16) for name, value in status.items() if name.startswith("Cap")]
    is_bound = syscall(NR["prctl"], _PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
    if is_bound and len(sets) >= 4 and not any(sets):  # gVisor tells no fifth
        raise Contained("no new privileges, no capability in any set")
    return f"no new privileges: {is_bound}, capabilities {sets}"


@attack("kernel/setuid-programs")
def use_a_setuid_program() -> str | None:
    for program in (["newgrp", "root"], ["su", "-c", "id -u", "root"], ["mount", "-t", "tmpfs", "x", "/tmp"]):
        ended = subprocess.run(["env", *program], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if ended.returncode == 0:
            return f"{program} worked: {ended.stdout!r}"
    raise Contained("su, newgrp and mount fail")


@attack("kernel/setuid-programs")
def become_another_user() -> None:
    other = 0 if os.getuid() else 54321
    os.setresuid(other, other, other)


@attack("kernel/setuid-programs")
def join_another_group() -> None:
    os.setgroups([0])


@allowed("kernel/setuid-programs")
def the_same_programs_run_without_privilege() -> None:
    assert subprocess.run(["mount", "--version"], stdout=subprocess.DEVNULL, check=False).returncode == 0
