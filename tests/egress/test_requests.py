"""Rules of requests: judged by method and path, over real exchanges."""

import pytest

from hutch.config import parse
from hutch.config.http_rules import HttpRule
from hutch.destinations import Pattern
from hutch.egress import InForce, Network, Requests, Rule, union
from hutch.errors import HutchError
from support.exchange_world import HOST, Server, world
from support.processes import free_port

GET = HttpRule(("GET",), ("/repos/me/*", "/user"))


@pytest.mark.parametrize(
    ("asked", "passes"),
    [
        ("GET /user", True),
        ("GET /user?a=b", True),
        ("GET /repos/me/a/b", True),
        ("GET /repos/me/%61", True),
        ("HEAD /user", False),
        ("POST /user", False),
        ("GET /users", False),
        ("GET /repos/you/a", False),
        ("GET /repos/me/../you", False),
        ("GET /repos/me/%2e%2e/you", False),
        ("GET /repos/me/..%2fyou", False),
        ("GET /repos/me/%c0%ae%c0%ae/you", False),
        ("GET /repos/me//a", False),
        ("GET /repos/me/a;b", False),
        ("GET /%75ser", True),
        ("GET /%2575ser", False),
    ],
)
async def test_one_rule_must_fit_a_request(asked: str, passes: bool) -> None:
    server, port = Server(headers=[("Content-Length", "5")]), free_port()
    network = InForce(Network(http={Pattern(HOST, port): (GET,)}))
    async with world(server, [Requests(network)], port=port) as here:
        answer = await here.ask(f"{asked} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200" if passes else b"HTTP/1.1 403")
    assert len(server.seen) == passes
    if not passes:
        method, path = asked.split()
        assert f'methods = ["{method}"], paths = ["{path}"]' in here.refused[0]
        assert method == "HEAD" or here.refused[0].encode() in answer


async def test_rules_may_change_while_a_run_lives() -> None:
    server, port = Server(headers=[("Content-Length", "5")]), free_port()
    strict = Network(allow=(Rule(Pattern(HOST, port)),), http={Pattern(HOST, port): (GET,)})
    network = InForce(strict)
    async with world(server, [Requests(network)], port=port) as here:
        asked = b"POST /user HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
        assert (await here.ask(asked)).startswith(b"HTTP/1.1 403")
        network.replace(Network(allow=strict.allow, http={Pattern(HOST, port): (GET, HttpRule(("POST",)))}))
        assert (await here.ask(asked)).startswith(b"HTTP/1.1 200")


def test_a_network_without_rules_does_not_take_away_those_of_another() -> None:
    text = """
    [network.reader]
    allow = ["api.example.org"]
    http = {"api.example.org" = {methods = ["GET"]}}
    [network.poster]
    allow = ["api.example.org"]
    http = {"api.example.org" = [{methods = ["POST"], paths = ["/a"]}, {methods = ["PUT"]}]}
    [network.all]
    allow = ["*.example.org"]
    """
    known = parse(text, {"HOME": "/home/me"}).networks
    rules = union(("reader", "poster", "all"), known).http[Pattern("api.example.org", 443)]
    assert [str(rule) for rule in rules] == ["GET *", "POST /a", "PUT *"]


NO_RULES = ['{"*.com" = {}}', '{"a.org" = {method = "GET"}}', '{"a.org" = {paths = ["x"]}}', '["a.org"]']


@pytest.mark.parametrize("http", NO_RULES)
def test_what_is_no_rule_is_told(http: str) -> None:
    with pytest.raises(HutchError, match=r"network\.a\.http"):
        parse(f"[network.a]\nhttp = {http}", {"HOME": "/home/me"})
