"""What a network lets through, and how a refusal says what was missing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.config import parse
from hutch.destinations import EVERY, NotADestinationError, Pattern, read_host
from hutch.egress import InForce, Missing, Network, Refusal, Rule, judge, union
from hutch.errors import HutchError
from hutch.runs.path.network_changes import change_rules
from hutch_mcp_tools.network_records import NetworkChange
from support.configured import ENV
from support.networks import configured, network

BUILT_IN = parse("", ENV).networks


def passes(granted: Network, where: str) -> bool:
    host, _, port = where.partition(":")
    return isinstance(judge(granted, host, int(port or 443)), Rule)


@pytest.mark.parametrize(
    ("rule", "inside", "outside"),
    [
        ("a.example", ["a.example"], ["a.example:80", "b.a.example", "a.example.evil.example", "xa.example"]),
        ("a.example:80", ["a.example:80"], ["a.example"]),
        (
            "*.a.example",
            ["b.a.example", "c.b.a.example"],
            ["a.example", "b.a.example:80", "xa.example", "a.example.evil.example"],
        ),
        ("*.a.example:8443", ["b.a.example:8443"], ["b.a.example"]),
    ],
)
def test_a_rule_lets_through_what_it_says(rule: str, inside: list[str], outside: list[str]) -> None:
    assert [where for where in inside if not passes(network(rule), where)] == []
    assert [where for where in outside if passes(network(rule), where)] == []


def test_an_empty_network_lets_nothing_through_and_what_is_denied_is_denied_by_whatever_network() -> None:
    assert not passes(Network(), "a.example")
    assert not passes(network(deny=["a.example"]), "a.example")
    known = {"one": configured("*.a.example"), "two": configured("c.example", deny=["x.a.example", "*.org"])}
    both = union(["one", "two"], known)
    assert passes(both, "y.a.example")
    assert passes(both, "c.example")
    assert [w for w in ("x.a.example", "x.a.example:80") if passes(both, w)] == []
    assert passes(union(["one"], known), "x.a.example")


def test_full_is_every_host_by_every_port_and_no_address() -> None:
    full = union(["full"], BUILT_IN)
    assert passes(full, "example.org:22")
    assert not passes(full, "127.0.0.1")
    assert not passes(union(["full"], {"full": configured(deny=["*.org"])}), "example.org")
    assert EVERY.includes(Pattern("example.org", 25, is_below=True))


def test_a_refusal_names_the_missing_rule_and_how_to_ask_for_it() -> None:
    unknown = judge(union(["node"], BUILT_IN), "x.example", 8443)
    assert isinstance(unknown, Missing)
    assert unknown.rule == "x.example:8443"
    assert "no rule allows x.example:8443; ask for it with --net allow:x.example:8443" in unknown.told
    assert 'allow = ["x.example:8443"]' in unknown.told
    known = judge(union(["node"], BUILT_IN), "pypi.org", 443)
    assert isinstance(known, Missing)
    assert known.rule == "pypi.org"
    assert "--net python" in known.told
    assert "full" not in known.told
    denied = judge(network("a.example", deny=["a.example"]), "a.example", 443)
    assert isinstance(denied, Missing)
    assert denied.told == 'a.example:443 is denied by deny = ["a.example"] of [network.n]'


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("API.Example.ORG", "api.example.org"),
        ("api.example.org.", "api.example.org"),
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost"),
    ],
)
def test_what_a_client_asks_for_is_read_once(text: str, host: str) -> None:
    assert read_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ".",
            "a..b",
            "a.example..",
            "a b",
            "a\0.example",
            "a.example\r\nX: y",
            "a.example\t",
            "user@a.example",
        ),
        *(
            "user:pw@a.example",
            "a.example/x",
            "a.example:443",
            "*.a.example",
            "bücher.example",
            "a" * 64,
            "a." * 127 + "b",
        ),
        *("1.2.3.4", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "127.1", "127.0.0.01", "0", "169.254.169.254"),
        *(
            "::1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "::ffff:7f00:1",
            "fe80::1%eth0",
            "127.0.0.1%00",
            "a.0x7f",
            "1.2.3.4.",
        ),
    ],
)
def test_nothing_else_is_a_host(text: str) -> None:
    with pytest.raises(NotADestinationError):
        read_host(text)


@given(st.text(max_size=60))
def test_a_host_is_read_to_what_is_read_again_to_itself(text: str) -> None:
    try:
        host = read_host(text)
    except NotADestinationError:
        return
    assert read_host(host) == host
    assert host.isascii()
    assert host == host.lower()


class Open:
    def __init__(self, host: str) -> None:
        self.host, self.port = host, 443
        self.cuts: list[Refusal] = []

    def cut(self, why: Refusal) -> None:
        self.cuts.append(why)


def test_when_a_network_is_replaced_the_connections_of_a_rule_that_is_gone_are_cut() -> None:
    force = InForce(network("a.example", "b.example"))
    a, b, ended = Open("a.example"), Open("b.example"), Open("b.example")
    with force.watching(a), force.watching(b):
        with force.watching(ended):
            pass
        force.replace(network("a.example", "c.example"))
    assert (a.cuts, b.cuts, ended.cuts) == ([], [Refusal.CUT], [])
    assert isinstance(force.judge("c.example", 443), Rule)
    assert isinstance(force.judge("b.example", 443), Missing)


def test_what_is_taken_from_a_run_is_taken_from_those_that_it_began() -> None:
    parent = InForce(network("a.example", "b.example"))
    child = InForce(network("a.example", "b.example"), parent)
    a, b = Open("a.example"), Open("b.example")
    with child.watching(a), child.watching(b):
        parent.replace(network("a.example", "c.example"))
    assert (a.cuts, b.cuts) == ([], [Refusal.CUT])
    assert isinstance(child.judge("a.example", 443), Rule)
    assert isinstance(child.judge("b.example", 443), Missing)
    assert (child.has_name("a.example"), child.has_name("b.example")) == (True, False)
    assert isinstance(child.judge("c.example", 443), Missing)  # what is given since is not its own
    child.is_served = True
    with pytest.raises(HutchError, match="the run whose agent began r-2 may not"):
        change_rules("r-2", child, {}, NetworkChange(host="b.example", allowed=True), "owner")
    change_rules("r-2", child, {}, NetworkChange(host="c.example", allowed=True), "owner")
    assert isinstance(child.judge("c.example", 443), Rule)


def test_bytes_are_counted_for_all_hosts_of_a_pattern_and_a_new_network_forgets_none() -> None:
    rules = network("*.a.example", max_bytes={"*.a.example": 100})
    force = InForce(rules)
    assert not force.spend("x.a.example", 443, 60)
    assert not force.spend("elsewhere.example", 443, 999)
    force.replace(network("*.a.example", "c.example", max_bytes={"*.a.example": 100}))
    assert force.spend("y.a.example", 443, 40)
    assert force.spent("z.a.example", 443)
    assert not force.spent("c.example", 443)
