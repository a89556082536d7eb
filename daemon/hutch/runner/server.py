"""The process that runners are forked from: it has read all that they need, and does nothing else.

It is forked from the daemon before there are threads, and ends with it; the runners do not.
"""

import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel

from hutch.egress.exchange.authority import Authority
from hutch.egress.meter import read_prices
from hutch.errors import HutchError
from hutch.runner.apart import run_apart
from hutch_launchers.seccomp import seccomp_filter

_PATH_BYTES = 4096


@dataclass(frozen=True, slots=True)
class RunnerServer:
    """The daemon's end."""

    asking: socket.socket

    def start(self, folder: Path) -> None:
        """Have a process take the job in `folder`. Returns at once. Raises HutchError `runner_failed`."""
        try:
            self.asking.send(os.fsencode(folder))
        except OSError as error:
            raise HutchError(
                "runner_failed",
                f"no process can be started for a run: {error.strerror}",
                "start the daemon anew: hutch stop --daemon",
            ) from None


@contextmanager
def runner_server() -> Generator[RunnerServer]:
    """Fork it. Call this where the process has one thread and nothing open that others must not have."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    gc.freeze()  # what is there by now stays in pages that all of them share
    if os.fork() == 0:
        ours.close()
        _serve(theirs)
    theirs.close()
    ours.set_inheritable(False)
    with ours:
        yield RunnerServer(ours)


def _serve(asked: socket.socket) -> None:
    """Fork a runner for each folder that is named, until the daemon has gone. Never returns."""
    code = 1
    try:
        os.setsid()  # what ends the daemon from a terminal is not to end it
        _keep_only(asked.fileno())
        _get_ready()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
        while folder := asked.recv(_PATH_BYTES):
            if os.fork() == 0:
                asked.close()
                _run(Path(os.fsdecode(folder)))
        code = 0
    except BaseException:  # noqa: BLE001 - a child never returns into its parent's work
        traceback.print_exc()
    os._exit(code)


def _get_ready() -> None:
    """Have in memory what each runner would read for itself; in pages that all of them share."""
    read_prices()
    Authority("", ["localhost"])
    for pins_cpus in (False, True):
        seccomp_filter(pins_cpus=pins_cpus)
    anyio.run(anyio.lowlevel.checkpoint)  # what an event loop is made of is imported by the first one
    gc.freeze()


def _run(folder: Path) -> None:
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        anyio.run(run_apart, folder)
        code = 0
    except BaseException:  # noqa: BLE001 - as above
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def _keep_only(descriptor: int) -> None:
    """Close what the daemon was given, such as sockets by systemd; our output goes where its does."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    low, high = sorted((2, descriptor))
    os.closerange(low + 1, high)
    os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))
