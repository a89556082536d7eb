"""The smallest network of what a run connected to."""

from collections.abc import Mapping

from hutch.config import Config, parse
from hutch.config.writing import with_network
from hutch.egress import Rule, judge, union
from hutch.policy.learning import Met, smallest

ENV = {"HOME": "/home/me"}
OWNERS = """
[policy]
networks = ["work", "full"]  # mine
network_hosts = ["*.cdn.example.net:8443"]
[network.work]
allow = ["wiki.example.org", "*.api.example.org"]
deny = ["admin.api.example.org", "other.example.com"]
host_services = ["localhost:5432"]
max_bytes = {"*.api.example.org" = "1GB", "else.example.org" = 1}
http = {"wiki.example.org" = {methods = ["GET"]}, "else.example.org" = {paths = ["/x"]}}
metered = ["wiki.example.org", "else.example.org"]
"""


def owners() -> Config:
    return parse(OWNERS, ENV)


def below(*names: str, domain: str = "api.example.org", port: int = 443) -> list[Met]:
    return [Met(f"{name}.{domain}", port, f"*.{domain}:{port}") for name in names]


def accepted(table: Mapping[str, object]) -> Config:
    return parse(with_network(OWNERS, "learned", table), ENV)


def test_names_are_proposed_themselves_and_a_wildcard_where_three_fall_under_it() -> None:
    assert smallest(below("a", "b", "a"), owners())["allow"] == ["a.api.example.org", "b.api.example.org"]
    three = smallest(below("a", "b", "c"), owners())
    assert three["allow"] == ["*.api.example.org"]
    assert three["deny"] == ["admin.api.example.org"]  # it would have been let through by it
    other_port = smallest(below("a", "b", "c", domain="cdn.example.net", port=8443), owners())
    assert other_port == {"allow": ["*.cdn.example.net:8443"]}


def test_what_stands_for_every_host_is_never_proposed() -> None:
    met = [Met(f"{name}.org", port, "*:*") for name, port in zip("abcd", (443, 80, 443, 22), strict=True)]
    assert smallest(met, owners()) == {"allow": ["a.org", "b.org:80", "c.org", "d.org:22"]}


def test_services_of_this_host_stay_services() -> None:
    met = [
        Met("localhost", 5432, "localhost:5432", "127.0.0.1"),
        Met("db.lan", 443, "db.lan:443", "10.0.0.7"),
    ]
    assert smallest(met, owners()) == {"host_services": ["db.lan:443", "localhost:5432"]}


def test_what_the_owner_bounds_of_a_host_goes_with_it() -> None:
    table = smallest([Met("wiki.example.org", 443, "wiki.example.org:443"), *below("a")], owners())
    assert table == {
        "allow": ["a.api.example.org", "wiki.example.org"],
        "max_bytes": {"*.api.example.org": 10**9},
        "http": {"wiki.example.org": [{"methods": ["GET"], "paths": []}]},
        "metered": ["wiki.example.org"],
    }
    learned, work = (accepted(table).networks[name] for name in ("learned", "work"))
    (pattern,) = learned.http
    assert learned.http[pattern] == work.http[pattern]
    assert learned.metered[0] in work.metered
    assert learned.max_bytes.items() <= work.max_bytes.items()


def test_nothing_met_is_nothing_to_propose() -> None:
    assert smallest([], owners()) == {}


def test_what_is_accepted_lets_all_of_it_through_and_is_granted_in_the_files_own_form() -> None:
    met = [*below("a", "b", "c"), Met("x.org", 8443, "*:*")]
    config = accepted(smallest(met, owners()))
    network = union(["learned"], config.networks)
    assert all(isinstance(judge(network, each.host, each.port), Rule) for each in met)
    assert config.policy.networks == ("work", "full", "learned")
    text = with_network(OWNERS, "learned", smallest(met, owners()))
    assert '"full", "learned"]  # mine\n' in text
    assert with_network(text, "learned", smallest(met, owners())) == text
