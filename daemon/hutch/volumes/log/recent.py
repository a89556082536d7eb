"""Trees that stay in memory because they are likely to be wanted again: bounded by number and by size."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from hutch.volumes.log.state import State

K = TypeVar("K", bound=Hashable)
_TREES = 8
_FILES = 300_000  # in all of them, some 200 MB


class Recent(Generic[K]):
    """The states used last. The very last stays, however large it is."""

    def __init__(self) -> None:
        self._states: OrderedDict[K, State] = OrderedDict()

    def get(self, key: K) -> State | None:
        return self._states.get(key)

    def items(self) -> list[tuple[K, State]]:
        return list(self._states.items())

    def take(self, key: K) -> State | None:
        """Forget it here; None: it was not kept."""
        return self._states.pop(key, None)

    def keep(self, key: K, state: State) -> None:
        """It is the one used last from now on."""
        self._states[key] = state
        self._states.move_to_end(key)
        while len(self._states) > 1 and (len(self._states) > _TREES or self._files > _FILES):
            self._states.popitem(last=False)

    @property
    def _files(self) -> int:
        return sum(state.files for state in self._states.values())
