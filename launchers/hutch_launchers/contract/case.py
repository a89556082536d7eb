"""What a case of the contract is, what is asked of a method for it, and what became of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hutch_launchers.spec import Ability, Guarantee

if TYPE_CHECKING:
    from hutch_launchers.contract.bench import Bench

Outcome = Literal["held", "refused", "not applicable", "not held"]

GROUPS: Mapping[str, str] = {
    "files": "Files",
    "protected": "Protected paths",
    "kernel": "Kernel",
    "limits": "Limits",
    "host": "Host services",
    "network": "Network",
    "secrets": "Secrets",
    "life": "Life cycle",
}


class NotHeldError(Exception):
    """An attack worked, or its allowed neighbour did not; the text says what was seen."""


class NotApplicableError(Exception):
    """The case says nothing about this method or this host; the text says why."""


@dataclass(frozen=True, slots=True)
class Case:
    """An attack, with the allowed action beside it.

    It is shown by tries of the attack programs of its group, or by `watch`, which looks on from the host and
    raises NotHeldError. It rests on `needs` and `uses`: a method that has not all of them must refuse.
    With `has_ways` its attacks are made in a sandbox that was granted something outside.
    """

    key: str  # group/name
    title: str
    needs: frozenset[Guarantee] = frozenset()
    uses: frozenset[Ability] = frozenset()
    watch: "Callable[[Bench], Awaitable[None]] | None" = None
    has_ways: bool = False

    @property
    def group(self) -> str:
        return self.key.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case: never unknown."""

    case: Case
    outcome: Outcome
    reason: str  # what was seen; for a refusal, what the method said


def expect(holds: object, seen: object) -> None:
    """Raise NotHeldError with what was seen unless it holds."""
    if not holds:
        raise NotHeldError(str(seen))
