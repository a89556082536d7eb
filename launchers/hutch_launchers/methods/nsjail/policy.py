"""Our system call filter in the words of nsjail, which takes no compiled one (github.com/google/kafel)."""

from functools import cache

from hutch_launchers.seccomp import Refusal, Test, refusals_of
from hutch_launchers.syscalls import MACHINES

_ENOSYS = 38


@cache
def kafel_policy(machine: str, *, pins_cpus: bool) -> str | None:
    """The same answers as `seccomp_filter` gives; None: there is no table for this machine.

    All that the table knows is allowed by its number, so that the default is the answer to newer calls and to
    the numbers of the x32 ABI. The kernel is asked for 64 bits of an argument: the mask cuts them.
    """
    known = MACHINES.get(machine)
    if known is None:
        return None
    refusals = refusals_of(known, pins_cpus=pins_cpus)
    rules = [_rule(number, refusal) for number, refusal in refusals.items()]
    allowed = [
        f"SYSCALL[{number}]"
        for number in range(known.newest + 1)
        if number not in refusals or refusals[number].clauses
    ]
    body = ", ".join([*rules, f"ALLOW {{ {', '.join(allowed)} }}"])
    return f"POLICY hutch {{ {body} }} USE hutch DEFAULT ERRNO({_ENOSYS})"


def _rule(number: int, refusal: Refusal) -> str:
    if not refusal.clauses:
        return f"ERRNO({refusal.error}) {{ SYSCALL[{number}] }}"
    last = max(test.arg for clause in refusal.clauses for test in clause)
    arguments = ", ".join(f"a{n}" for n in range(last + 1))
    condition = " || ".join(f"({' && '.join(map(_test, clause))})" for clause in refusal.clauses)
    return f"ERRNO({refusal.error}) {{ SYSCALL[{number}]({arguments}) {{ {condition} }} }}"


def _test(test: Test) -> str:
    return f"((a{test.arg} & {test.mask:#x}) {'==' if test.equal else '!='} {test.value:#x})"
