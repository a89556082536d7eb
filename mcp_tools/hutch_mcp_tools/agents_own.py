"""The folder of a volume in which agents keep what is theirs: told after what they were asked for."""

from collections.abc import Iterable

AGENTS_OWN = ".hutch"


def is_agents_own(path: str) -> bool:
    """Whether a path within a volume is that folder's, or leads below it."""
    return path.removeprefix("/").split("/", 1)[0] == AGENTS_OWN


def agents_own_last(changed: Iterable[str]) -> list[str]:
    """Changes as records have them, `M src/app.py`, in another order."""
    return sorted(changed, key=lambda change: is_agents_own(change.partition(" ")[2]))
