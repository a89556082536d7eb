"""Network: nothing leaves but by a granted door."""

from hutch_launchers.contract.bench import Bench
from hutch_launchers.contract.case import Case, expect
from hutch_launchers.contract.doorway import ANSWER, doorway
from hutch_launchers.spec import Ability, Guarantee

_NETWORK = frozenset({Guarantee.NETWORK})
_DOORS = frozenset({Ability.DOORS})


async def only_granted(bench: Bench) -> None:
    """A granted door leads to its service, and nothing else leads anywhere."""
    async with doorway(bench.stage.folder / "doors") as endpoint:
        door = endpoint.doors[0]
        ports = f"{bench.stage.service_port} {bench.stage.facts['daemon_port']} 22"
        look = (
            f"exec 2>/dev/null; cat < /dev/tcp/{door.name}/{door.port}; "
            f"for p in {ports}; do (exec 3<>/dev/tcp/127.0.0.1/$p) && echo $p; done; "
            "(exec 3<>/dev/tcp/1.1.1.1/443) && echo the world; true"
        )
        granted = await bench.run(bench.command("/bin/bash", "-c", look), egress=endpoint)
        expect(granted.out == ANSWER.decode(), granted.out)
        without = await bench.run(bench.command("/bin/bash", "-c", look))
        expect(without.out == "", without.out)


CASES = (
    Case("network/no-route", "No rule: no route, no interface, no proxy", _NETWORK),
    Case("network/udp-and-icmp", "UDP, QUIC, ICMP, multicast", _NETWORK),
    Case("network/dns", "DNS to anyone", _NETWORK),
    Case("network/metadata", "Cloud metadata addresses", _NETWORK),
    Case("network/literals", "Odd spellings of an address", _NETWORK),
    Case("network/host-loopback", "The host's loopback, the daemon's port included", _NETWORK),
    Case(
        "network/only-granted",
        "A granted destination works and nothing beside it",
        _NETWORK,
        _DOORS,
        only_granted,
    ),
    *(
        Case(f"network/{name}", title, _NETWORK, _DOORS, has_ways=True)
        for name, title in {
            "beside": "Beside what is granted: any address, UDP, ICMP, metadata, the host's loopback",
            "names": "Host names with NUL, CR, LF, a final dot, upper case, a user, over 255 characters",
            "granted-literals": "Addresses in place of names, in every spelling",
            "look-alikes": "Names and ports that nearly are what is granted or denied",
            "server-names": "TLS to another server than the one that was granted",
            "own-names": "DNS by UDP, TCP, TLS or HTTPS to anyone else, or with data in it",
            "private-names": "Names that stand for private, loopback or metadata addresses",
            "redirects": "Redirects to what is not granted",
            "smuggling": "Requests that can be read in two ways",
            "floods": "Connections and heads without end",
            "bodies": "Bodies without end, and packed small",
        }.items()
    ),
)
