"""The step of an exchange that judges requests by method and path."""

from hutch.egress.exchange import Answer, Exchange, Request
from hutch.egress.exchange.paths import fits
from hutch.egress.in_force import InForce
from hutch.egress.rules import http_rules

_SHOWN = 200  # characters of a path


class Requests:
    """Lets through what the network that is in force allows now."""

    def __init__(self, network: InForce) -> None:
        self._network = network
        self._hosts = tuple(map(str, network.network.http))

    @property
    def hosts(self) -> tuple[str, ...]:
        return self._hosts

    async def begin(self, request: Request) -> Exchange | Answer:
        rules = http_rules(self._network.network, request.host, request.port)
        method, path = request.method, request.path
        if rules is None or any(fits(rule.methods, rule.paths, method, path) for rule in rules):
            return Exchange(request)
        allowed = "; ".join(map(str, rules)) or "none"
        path = path[:_SHOWN]
        return Answer(
            403,
            b"",
            why=f"no rule lets {method} {path} through to {request.host} (there are: {allowed}); the owner "
            f'adds {{methods = ["{method}"], paths = ["{path}"]}} to http of a [network.NAME]',
        )
