"""What starts containers and ends them; each engine's own way of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hutch_launchers.containers.images import Image
from hutch_launchers.containers.skeleton import Skeleton
from hutch_launchers.spec import Limits, Mount
from hutch_launchers.system_view import GID, UID

RUN = "/opt/hutch/run"  # inside: the guest, its filter, its way to the host


@dataclass(frozen=True, slots=True)
class Container:
    """What is to be started; nothing in it is of a command."""

    name: str
    image: str
    guest: tuple[str, ...]  # the words that start it
    env: tuple[tuple[str, str], ...]
    folder: Path  # of the host, at `RUN`
    mounts: tuple[Mount, ...] = ()
    limits: Limits = field(default_factory=lambda: Limits(wall_s=0))
    user: tuple[int, int] = (UID, GID)  # inside
    hosts: tuple[tuple[str, str], ...] = ()  # name, address
    volumes: tuple[str, ...] = ()  # of the image: folders that are to be the sandbox's own


class Engine(Protocol):
    """All of these block, and raise LauncherError. An engine is compared by its configuration."""

    @property
    def processes(self) -> int:
        """How many are in a container's control group besides the command's own."""

    def bring(self, image: str, skeleton: Callable[[], Skeleton]) -> None:
        """See that an image is there whose name says that it is our skeleton."""

    def look_up(self, image: str) -> Image:
        """An image that somebody names."""

    def start(self, container: Container) -> str:
        """Start it; return what the path of its control group holds, and nobody else's."""

    def check(self, name: str) -> None:
        """Raise for a container that ended before its guest came."""

    def forget(self, name: str) -> None:
        """Give back what is left of one that has ended, as far as the engine does not by itself."""

    def settle(self, name: str, image: str) -> None:
        """Return when no start of it is under way that outlives whoever asked for it; `remove` follows."""

    def remove(self, name: str) -> None:
        """End it, if it is there, and forget it."""
