"""What podman has beside each container: a monitor; where podman was killed, it waits for ever."""

from collections.abc import Iterator
from itertools import pairwise

from hutch_launchers import proc


def runtime_calls(name: str) -> Iterator[list[str]]:
    """The words that end a container of this name that podman knows no more: those of its runtime."""
    for pid in proc.pids_with_argument(name):
        following = dict(pairwise(proc.command_line(pid)))
        if following.get("-n") == name and "-r" in following and "-c" in following:
            yield [following["-r"], "delete", "--force", following["-c"]]
