"""What an owner gives and takes while a run lives, as rules."""

import pytest

from hutch.config import Network as Configured
from hutch.destinations import read_bound, read_pattern
from hutch.egress import Missing, Network, Rule, given, judge, taken, union

PATTERNS = {"allow": ("a.example.org", "*.b.example.org"), "deny": ("x.b.example.org",)}


def configured() -> Network:
    allow = tuple(map(read_pattern, PATTERNS["allow"]))
    work = Configured(allow, tuple(map(read_bound, PATTERNS["deny"])), (read_pattern("db.internal:5432"),))
    return union(["work"], {"work": work})


def passes(network: Network, host: str, port: int = 443) -> bool:
    return isinstance(judge(network, host, port), Rule)


def test_what_is_given_passes_and_what_is_taken_does_not_until_it_is_given_again() -> None:
    network = given(configured(), read_pattern("new.example.org"))
    assert passes(network, "new.example.org")
    assert not passes(network, "new.example.org", 80)
    for host in ("a.example.org", "new.example.org"):
        less = taken(network, read_bound(host))
        told = judge(less, host, 443)
        assert isinstance(told, Missing)
        assert told.told == f"{host}:443 was taken from this run by its owner: {host}:*"
        assert given(less, read_pattern(host)).deny == network.deny
        assert passes(given(less, read_pattern(host)), host)


def test_a_service_that_was_taken_is_a_service_when_it_is_given_again() -> None:
    network = taken(configured(), read_bound("db.internal"))
    assert not passes(network, "db.internal", 5432)
    judged = judge(given(network, read_pattern("db.internal:5432")), "db.internal", 5432)
    assert isinstance(judged, Rule)
    assert judged.is_host_service


def test_what_is_taken_broadly_stays_so_for_all_others() -> None:
    network = given(taken(configured(), read_bound("*.b.example.org")), read_pattern("y.b.example.org"))
    assert not passes(network, "z.b.example.org")
    assert not passes(network, "y.b.example.org")  # giving it would have to give the others too
    assert passes(given(network, read_pattern("*.b.example.org")), "z.b.example.org")


@pytest.mark.parametrize("pattern", ["x.b.example.org", "*.b.example.org"])
def test_what_the_configuration_denies_stays_denied(pattern: str) -> None:
    assert not passes(given(configured(), read_pattern(pattern)), "x.b.example.org")
