"""What the last words of a failed command point to, where its sandbox is the likely reason. Pure."""

import re
from collections.abc import Mapping

from hutch.policy import Plan
from hutch_launchers.sizes import size
from hutch_launchers.spec import Guarantee

TAIL_BYTES = 4096  # of stderr: what failed stands at its end

# An allocation that fails, as Python, Node.js, C++, Go, Java and strerror(3) say it
_NO_MEMORY = re.compile(
    rb"\bMemoryError\b|std::bad_alloc|\bout of memory\b|OutOfMemoryError|Cannot allocate memory"
)
# A process or thread that is not started, as shells, strerror(3) and Python say it
_NO_PROCESS = re.compile(
    rb"Cannot fork|fork: (?:retry: )?Resource temporarily unavailable|can't start new thread"
    rb"|BlockingIOError: \[Errno 11\]|pthread_create failed"
)
# A name that does not resolve, as curl, getaddrinfo(3), Node.js, Go and git say it
_NO_NAME = re.compile(
    rb"Could not resolve host|Temporary failure in name resolution|Name or service not known"
    rb"|getaddrinfo (?:EAI_AGAIN|ENOTFOUND)|no such host"
)


def refusal(refused: Mapping[str, str]) -> str:
    """Say what a command was refused; its record has the reasons, and what to ask for. Empty: nothing."""
    *others, last = refused or [""]
    if not last:
        return ""
    return f"it was refused {last}" + (f" and {len(others)} more" if others else "")


def advice(plan: Plan, enforced: Mapping[str, str], stderr: bytes) -> str:
    """Say what probably was in a command's way; empty where its words point to nothing of ours.

    Of memory and processes only where a limit makes calls fail: what a control group stops is told anyway.
    """
    limit = plan.limits.memory_bytes
    if limit and "RLIMIT" in enforced.get(Guarantee.MEMORY, "") and _NO_MEMORY.search(stderr):
        return f"an allocation failed: its memory limit of {size(limit)} was probably met"
    most = plan.limits.pids
    if most and "RLIMIT" in enforced.get(Guarantee.PIDS, "") and _NO_PROCESS.search(stderr):
        return f"a process was not started: its limit of {most} processes and threads was probably met"
    if _NO_NAME.search(stderr):
        reached = ", ".join(sorted({str(rule) for rule in plan.network.allow}))
        if not reached:
            return "a name was not resolved: this run has no network; ask for one: --net NAME"
        return f"a name was not resolved: this run's network grants {reached} and nothing else"
    return ""
