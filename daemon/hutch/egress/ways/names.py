"""The names of a run's destinations and their addresses inside: each name has one, each address one name.

What is granted by its name has its address from the beginning, by /etc/hosts. Others get one when they are
first asked for; when all are in use, the one that was longest not asked for is taken back.
"""

from collections import OrderedDict
from collections.abc import Sequence

from hutch.egress.in_force import InForce
from hutch_launchers.spec import Door

SPARE = 1024  # names at once

_LAST = 250  # of an address's last part


class Names:
    """All in the event loop."""

    def __init__(self, network: InForce, doors: Sequence[Door]) -> None:
        self._network = network
        self._by_place = {(door.address, door.port): door.name for door in doors}
        self._granted = {door.name: door.address for door in doors}
        self._by_address = {door.address: door.name for door in doors}
        self._given: OrderedDict[str, str] = OrderedDict()

    def address_of(self, host: str) -> str | None:
        """Return where a name is found inside; None: the network in force has nothing by this name."""
        if not self._network.has_name(host):
            return None
        if host in self._granted:
            return self._granted[host]
        if host not in self._given:
            self._given[host] = self._spare()
            self._by_address[self._given[host]] = host
        self._given.move_to_end(host)
        return self._given[host]

    def name_at(self, address: str, port: int) -> str | None:
        """Return the name that an address has now."""
        name = self._by_place.get((address, port)) or self._by_address.get(address)
        if name is not None and name in self._given:
            self._given.move_to_end(name)
        return name

    def _spare(self) -> str:
        if len(self._given) >= SPARE:
            return self._given.popitem(last=False)[1]
        high, low = divmod(len(self._given), _LAST)
        return f"127.2.{high}.{low + 1}"
