"""Which networks and hosts a wish gets, and what a refusal says."""

from dataclasses import replace

import pytest

from hutch.destinations import read_pattern
from hutch.egress import Missing, Rule, judge
from hutch.errors import HutchError
from hutch.policy import Wish
from support.networks import configured
from support.plans import CONFIG, code_of, plan_for


def test_a_network_is_given_by_the_owners_list_only() -> None:
    assert code_of(Wish(command="id", network="model")) == "network_denied"
    assert code_of(Wish(command="id", network="full"), networks=("full",)) == "network_denied"
    granted = plan_for(Wish(command="id", network="model"), networks=("model",)).network
    assert [str(rule) for rule in granted.allow] == ["127.0.0.1:8787", "api.example.org:443"]
    assert [rule.is_host_service for rule in granted.allow] == [True, False]


MORE = replace(
    CONFIG,
    policy=replace(
        CONFIG.policy, network_hosts=(read_pattern("*.example.org"), read_pattern("one.example:8443"))
    ),
    networks={"a": configured("a.example"), "b": configured("b.example", deny=["a.example"])},
)


def test_several_networks_are_asked_for_at_once_and_what_one_denies_is_denied() -> None:
    both = plan_for(Wish(command="id", network="a, b"), MORE, ("a", "b"))
    assert isinstance(judge(both.network, "b.example", 443), Rule)
    assert isinstance(judge(both.network, "a.example", 443), Missing)
    assert both.granted["network"] == ["a.example:443", "b.example:443", "not a.example:*"]
    assert code_of(Wish(command="id", network="a,b"), MORE, ("a",)) == "network_denied"


def hint_of(network: str) -> str:
    with pytest.raises(HutchError) as refused:
        plan_for(Wish(command="id", network=network))
    return refused.value.hint


def test_a_refusal_says_what_to_write_where() -> None:
    owners = "in ~/.config/hutch/config.toml, then: hutch stop --daemon"
    assert f'the owner adds "python" to the list networks below [policy] {owners}' in hint_of("python")
    there = hint_of("allow:a.example.com")
    assert f'the owner adds "a.example.com:443" to the list network_hosts below [policy] {owners}' in there
    assert "a single host is written allow:a.example.com" in hint_of("a.example.com")


def test_a_refusal_names_no_network_that_may_not_be_asked_for() -> None:
    reached = plan_for(Wish(command="id", network="a"), MORE, ("a",)).network
    missing = judge(reached, "b.example", 443)
    assert isinstance(missing, Missing)
    assert missing.granting == ()


@pytest.mark.parametrize("asked", ["x.example.org", "*.x.example.org", "*.example.org", "one.example:8443"])
def test_a_single_host_is_given_where_the_owner_lets_callers_ask_for_it(asked: str) -> None:
    plan = plan_for(Wish(command="id", network=f"a,allow:{asked}"), MORE, ("a",))
    assert [rule.pattern for rule in plan.network.allow][-1] == read_pattern(asked)
    assert plan_for(Wish(command="id", network=f"allow:x.example.org,{asked}"), MORE).network
    assert code_of(Wish(command="id", network=f"allow:{asked}")) == "network_denied"


@pytest.mark.parametrize(
    "asked",
    [
        *(
            "example.org",
            "x.example.org:80",
            "*.org",
            "one.example",
            "*.one.example:8443",
            "x.example.org.evil.example",
        ),
        *("127.0.0.1:1", "1.2.3.4", "x.example.org\0", "", "https://x.example.org"),
    ],
)
def test_no_other_host_is_given_and_a_name_after_a_host_is_one(asked: str) -> None:
    assert code_of(Wish(command="id", network=f"allow:{asked}"), MORE, ("a",)) == "network_denied"
    assert code_of(Wish(command="id", network="allow:x.example.org,a"), MORE, ("a",)) == "network_denied"
