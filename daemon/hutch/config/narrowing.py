"""Records that may only narrow what the policy grants: tiers, and the file of a repository."""

from dataclasses import dataclass
from typing import Annotated

from hutch.config.kinds import AnyOf, Choice, Each, Number, Size, Text, Whole
from hutch_launchers.spec import Guarantee

MODES = ("none", "ro", "review", "worktree", "rw")  # of a workspace, each more than the one before
_RELATIVE = Text(
    r"(?s)(?!/)(?!(.*/)?\.{1,2}(/|$))(?!.*\*\*)[^\x00]+", 'a path within the folder, without ".." and "**"'
)

PROTECTED_NAME = Text(r"(?!\.{1,2}(/|$))[^/\0]+(/(?!\.{1,2}(/|$))[^/\0]+)*", "a name, or a relative path")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most of each limit; None: as it is."""

    wall_s: Annotated[float | None, Number(1, 86_400, "seconds")] = None
    memory_bytes: Annotated[int | None, Size(16 << 20, key="memory")] = None
    pids: Annotated[int | None, Whole(2, 1 << 22)] = None
    cpus: Annotated[float | None, Number(0.01, 4096)] = None
    disk_bytes: Annotated[int | None, Size(1 << 20, key="disk")] = None
    open_files: Annotated[int | None, Whole(16, 1 << 20)] = None
    output_bytes: Annotated[int | None, Size(1, key="output")] = None


@dataclass(frozen=True, slots=True)
class Narrowing:
    """At most this, of what the policy grants. What is empty leaves it as it is."""

    workspace: Annotated[str, Choice(("", *MODES))] = ""
    network: Annotated[str, Choice(("", "none", "agent", "granted"))] = ""
    networks: Annotated[tuple[str, ...], Each(Text())] = ()
    secrets: Annotated[tuple[str, ...] | None, Each(Text())] = None  # that may be asked for; none: as it is
    host_folders: Annotated[str, Choice(("", "none", "read", "write"))] = ""
    needs: Annotated[frozenset[Guarantee], AnyOf(Guarantee)] = frozenset()


@dataclass(frozen=True, slots=True)
class Tier(Narrowing):
    """A named policy, chosen by its name."""

    method: Annotated[str, Text()] = ""
    limits: Bounds = Bounds()  # where a caller asks for nothing else
    max_limits: Bounds = Bounds()


@dataclass(frozen=True, slots=True)
class Repository(Narrowing):
    """What a repository says of itself in its `.hutch.toml`."""

    tier: Annotated[str, Text()] = ""
    denied: Annotated[tuple[str, ...], Each(_RELATIVE)] = ()
    protected: Annotated[tuple[str, ...], Each(PROTECTED_NAME)] = ()  # besides what the policy protects
    limits: Bounds = Bounds()


TIERS = {
    "review": Tier(workspace="review", network="agent", host_folders="read"),
    "workspace": Tier(workspace="rw", network="agent"),
    "offline": Tier(workspace="rw", network="none"),
    "online": Tier(workspace="rw", network="granted"),
}
