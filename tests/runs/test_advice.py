"""What a failed command's last words point to."""

from dataclasses import replace

import pytest

from hutch.access.rights import OWNERS_RIGHTS
from hutch.config import parse
from hutch.policy import Plan, Wish, decide
from hutch.runs.path.advice import advice
from support.networks import network

HELD = {"memory": "RLIMIT_DATA and a watch over the sum"}


def plan() -> Plan:
    wish = Wish(command="true", memory_bytes=512 << 20)
    return decide(wish, parse("", {"HOME": "/home/me"}), OWNERS_RIGHTS, shell="/bin/sh", networks=())


@pytest.mark.parametrize(
    "said",
    [
        b"Traceback (most recent call last):\n  File ...\nMemoryError\n",
        b"bash: fork: Cannot allocate memory\n",
        b"FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n",
        b"terminate called after throwing an instance of 'std::bad_alloc'\n",
    ],
)
def test_an_allocation_that_failed_points_to_the_memory_limit_where_that_makes_them_fail(said: bytes) -> None:
    told = "an allocation failed: its memory limit of 512 MiB was probably met"
    assert advice(plan(), HELD, said) == told
    assert advice(plan(), {"memory": "cgroup v2"}, said) == ""
    assert advice(plan(), {}, said) == ""


@pytest.mark.parametrize(
    "said",
    [
        b"sh: 0: Cannot fork\n",
        b"bash: fork: retry: Resource temporarily unavailable\n",
        b"RuntimeError: can't start new thread\n",
    ],
)
def test_a_process_that_was_not_started_points_to_their_limit(said: bytes) -> None:
    told = (
        f"a process was not started: its limit of {plan().limits.pids} processes and threads was probably met"
    )
    assert advice(plan(), {"pids": "RLIMIT_NPROC"}, said) == told
    assert advice(plan(), {"pids": "cgroup v2"}, said) == ""


@pytest.mark.parametrize(
    "said",
    [
        b"curl: (6) Could not resolve host: example.org\n",
        b"socket.gaierror: [Errno -3] Temporary failure in name resolution\n",
        b"npm error getaddrinfo EAI_AGAIN registry.example\n",
        b"dial tcp: lookup example.org: no such host\n",
    ],
)
def test_a_name_that_was_not_resolved_points_to_what_is_granted(said: bytes) -> None:
    assert "this run has no network" in advice(plan(), HELD, said)
    granted = replace(plan(), network=network("b.example", "a.example"))
    told = "this run's network grants a.example:443, b.example:443 and nothing else"
    assert advice(granted, HELD, said).endswith(told)


def test_other_words_point_to_nothing() -> None:
    assert advice(plan(), HELD, b"AssertionError: memory is not what it was\n") == ""
