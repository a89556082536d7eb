"""Tiers and a repository's own file: whatever they say, a run gets no more than without them."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.access.rights import OWNERS_RIGHTS
from hutch.config import Config, Repository, Tier, parse
from hutch.config.narrowing import MODES, Bounds
from hutch.errors import HutchError
from hutch.policy import Allowed, Plan, Wish, allowed, bounded_workspace, decide, with_repository, with_tier
from hutch.runs.planning.repository import parse_repository
from hutch_launchers.spec import Guarantee

T = TypeVar("T")
CONFIG = parse(
    """
[policy]
readable = ["/opt/tools"]
writable = ["/srv/cache"]
networks = ["pypi", "model"]
network_hosts = ["*.example.org"]
[network.pypi]
allow = ["pypi.org:443"]
[network.model]
allow = ["api.example.org:443"]
[methods.other]
kind = "bubblewrap"
""",
    {"HOME": "/home/someone"},
)
NETWORKS = ("pypi", "model")
OWN = frozenset({"anthropic"})
BASE = allowed(CONFIG, NETWORKS, OWN)

bounds = st.builds(
    Bounds,
    wall_s=st.none() | st.floats(1, 86_400),
    memory_bytes=st.none() | st.integers(16 << 20, 32 << 30),
    pids=st.none() | st.integers(2, 8192),
    cpus=st.none() | st.floats(0.01, 64),
    disk_bytes=st.none() | st.integers(1 << 20, 32 << 30),
    open_files=st.none() | st.integers(16, 1 << 17),
    output_bytes=st.none() | st.integers(1, 1 << 40),
)
common = {
    "workspace": st.sampled_from(("", *MODES)),
    "network": st.sampled_from(("", "none", "agent", "granted")),
    "networks": st.lists(st.sampled_from(NETWORKS), unique=True).map(tuple),
    "host_folders": st.sampled_from(("", "none", "read", "write")),
    "needs": st.frozensets(st.sampled_from(Guarantee)),
}
tiers = st.builds(
    Tier, **common, method=st.sampled_from(("", "other", "bubblewrap")), limits=bounds, max_limits=bounds
)
repositories = st.builds(
    Repository,
    **common,
    tier=st.sampled_from(("", "review", "offline")),
    denied=st.just(("secrets",)),
    protected=st.just(("deploy.sh",)),
    limits=bounds,
)


def or_refused(step: Callable[[Allowed], T], base: Allowed, *codes: str) -> T | None:
    """What a step gives; None: it was refused by one of these codes."""
    with suppress(HutchError):
        try:
            return step(base)
        except HutchError as refused:
            if refused.code not in codes:
                raise AssertionError(refused) from refused
            raise
    return None


def plan(wish: Wish, base: Allowed) -> Plan:
    return decide(wish, base.config, OWNERS_RIGHTS, shell="/bin/sh", networks=base.networks)


def is_within(narrow: Allowed, wide: Allowed) -> bool:
    one, other = narrow.config.policy, wide.config.policy
    most, bound = asdict(one.max_limits), asdict(other.max_limits)
    return (
        narrow.networks <= wide.networks
        and set(one.network_hosts) <= set(other.network_hosts)
        and MODES.index(narrow.workspace) <= MODES.index(wide.workspace)
        and one.needs >= other.needs
        and set(one.writable) <= set(other.writable)
        and set(one.readable) | set(one.writable) <= set(other.readable) | set(other.writable)
        and narrow.config.methods.keys() <= wide.config.methods.keys()
        and one.method in narrow.config.methods
        and all(most[name] <= bound[name] for name in most)
        and all(value <= most[name] for name, value in asdict(one.limits).items())
        and set(narrow.denied) >= set(wide.denied)
    )


@given(first=tiers, repository=repositories, second=tiers)
def test_nothing_that_narrows_ever_widens_in_any_order(
    first: Tier, repository: Repository, second: Tier
) -> None:
    config = replace(CONFIG, tiers={**CONFIG.tiers, "first": first, "second": second})
    now = allowed(config, NETWORKS, OWN)
    steps: tuple[Callable[[Allowed], Allowed], ...] = (
        lambda base: with_tier(base, "first", OWN),
        lambda base: with_repository(base, repository, "/w/.hutch.toml", OWN),
        lambda base: with_tier(base, "second", OWN),
    )
    for step in steps:
        narrow = or_refused(step, now, "method_unknown")  # two tiers may want different methods
        if narrow is None:
            return
        assert is_within(narrow, now)
        now = narrow


@given(
    repository=repositories,
    wall_s=st.none() | st.floats(1, 86_400),
    network=st.sampled_from(("pypi", "pypi,allow:x.example.org", None)),
)
def test_a_plan_under_a_repository_s_word_is_within_the_plan_without(
    repository: Repository, wall_s: float | None, network: str | None
) -> None:
    wish = Wish(command="id", wall_s=wall_s, network=network)
    wide = plan(wish, BASE)
    base = with_repository(BASE, repository, "/w/.hutch.toml")
    narrow = or_refused(lambda base: plan(wish, base), base, "limit_exceeded", "network_denied")
    if narrow is None:
        return
    assert set(narrow.network.allow) <= set(wide.network.allow)
    assert narrow.needs >= wide.needs
    assert {m.source for m in narrow.mounts if m.writable} <= {m.source for m in wide.mounts if m.writable}
    assert all(value <= getattr(wide.limits, name) for name, value in asdict(narrow.limits).items())


def test_what_narrowed_is_said() -> None:
    said = Repository(network="none", denied=("secrets",), limits=Bounds(pids=64, memory_bytes=1 << 30))
    base = with_repository(with_tier(BASE, "review"), said, "/w/.hutch.toml")
    assert base.narrowed == (
        "tier review: workspace review",
        "tier review: network agent",
        "tier review: host folders read",
        "/w/.hutch.toml: network none",
        "/w/.hutch.toml: denied secrets",
        "/w/.hutch.toml: memory at most 1 GiB",
        "/w/.hutch.toml: pids at most 64",
    )
    assert base.config.policy.limits.pids == 64
    assert base.config.policy.writable == ()
    assert base.config.policy.readable == (Path("/opt/tools"), Path("/srv/cache"))


def test_the_tiers_that_are_built_in() -> None:
    own = {name: with_tier(BASE, name, OWN).networks for name in CONFIG.tiers}
    assert own == {
        "review": {"anthropic"},
        "workspace": {"anthropic"},
        "offline": frozenset(),
        "online": {"anthropic", "pypi", "model"},
    }
    hosts = {name for name in CONFIG.tiers if with_tier(BASE, name).config.policy.network_hosts}
    assert hosts == {"online"}
    with pytest.raises(HutchError, match="no tier is called 'ofline'"):
        with_tier(BASE, "ofline")


def bounded(text: str, base: Allowed, tier: str | None = None, *, is_owner: bool = True) -> str | None:
    wish = Wish(command="id", workspace=text, tier=tier)
    return bounded_workspace(wish, base, is_owner=is_owner).workspace


def test_a_workspace_is_had_only_as_a_tier_lets_it() -> None:
    review, none = with_tier(BASE, "review"), with_repository(BASE, Repository(workspace="none"), "x")
    assert bounded("/src/a", review) == "/src/a:ro"
    assert bounded("/src/a", review, tier="review") == "/src/a:review"
    assert bounded("/src/a:ro", review, tier="review") == "/src/a:ro"
    offline = with_tier(BASE, "offline")
    assert bounded("/src/a", offline, tier="offline") == "/src/a:rw"
    assert bounded("/src/a", offline, tier="offline", is_owner=False) == "/src/a:ro"
    for wish, base in ((Wish("id", workspace="/src/a:rw"), review), (Wish("id", workspace="/src/a"), none)):
        with pytest.raises(HutchError) as refused:
            bounded_workspace(wish, base, is_owner=True)
        assert refused.value.code == "workspace_denied"


def test_a_refused_workspace_is_told_what_narrowed_it_alone() -> None:
    base = with_repository(
        with_tier(BASE, "review"), Repository(network="none", workspace="ro"), "/w/.hutch.toml"
    )
    with pytest.raises(HutchError) as refused:
        bounded_workspace(Wish("id", workspace="/src/a:rw"), base, is_owner=True)
    assert refused.value.hint == "/w/.hutch.toml: workspace ro"


def test_whatever_the_owner_needs_force_sandbox_needs_the_filesystem() -> None:
    bare = replace(CONFIG, policy=replace(CONFIG.policy, needs=frozenset()))
    assert allowed(bare, ()).config.policy.needs == {Guarantee.FILESYSTEM}
    free = replace(bare, policy=replace(bare.policy, force_sandbox=False))
    assert allowed(free, ()).config.policy.needs == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        '[tiers.x]\nmethod = "nope"',
        '[tiers.x]\nnetworks = ["nope"]',
        '[tiers.x.max_limits]\nmemory = "1TiB"',
        '[policy]\ntier = "nope"',
        '[principals.ci]\ntiers = ["nope"]',
        '[tiers.x]\nworkspace = "all"',
    ],
)
def test_a_tier_that_means_nothing_or_more_than_the_policy_is_an_error(text: str) -> None:
    with pytest.raises(HutchError) as refused:
        parse(text, {"HOME": "/home/someone"})
    assert refused.value.code == "config_invalid"


def test_a_tier_has_limits_of_its_own() -> None:
    text = '[tiers.ci.limits]\nwall_s = 600.0\n[tiers.ci.max_limits]\nmemory = "1GiB"\n'
    config: Config = parse(text, {"HOME": "/home/someone"})
    policy = with_tier(allowed(config, ()), "ci").config.policy
    assert (policy.limits.wall_s, policy.limits.memory_bytes) == (600, 1 << 30)
    assert (policy.max_limits.wall_s, policy.max_limits.memory_bytes) == (86_400, 1 << 30)


@pytest.mark.parametrize(
    ("granted", "lists", "left"),
    [
        (["a", "b:env"], [], ["a", "b:env"]),
        (["a", "b"], [("a",)], ["a"]),
        (["a", "b"], [()], []),
        (["a", "b", "c"], [("a", "b"), ("b", "c")], ["b"]),
        (["a:env"], [("a",)], ["a"]),
        (["a:env"], [("a:env",)], ["a:env"]),
        (["a"], [("a:env",)], ["a"]),
        (["a:env"], [("a:env",), ("a",)], ["a"]),
    ],
)
def test_secrets_are_only_ever_taken_away(
    granted: list[str], lists: list[tuple[str, ...]], left: list[str]
) -> None:
    narrow = replace(BASE, secrets=tuple(lists))
    assert list(narrow.least_secrets(granted)) == left


def test_a_tier_and_a_repository_take_secrets_away_and_name_none_that_is_not_there() -> None:
    config = parse('[tiers.bare]\nsecrets = []\n[tiers.some]\nsecrets = ["github"]', {"HOME": "/h"})
    base = allowed(config, ())
    assert with_tier(base, "bare").least_secrets(["github"]) == ()
    assert with_tier(base, "bare").narrowed == ("tier bare: secrets none",)
    some = with_repository(
        with_tier(base, "some"), parse_repository(b'secrets = ["openai"]', "/w/.hutch.toml"), "/w/f"
    )
    assert some.least_secrets(["github", "openai"]) == ()
    with pytest.raises(HutchError, match="there is no secret 'x'"):
        with_repository(base, parse_repository(b'secrets = ["x"]', "/w/.hutch.toml"), "/w/.hutch.toml")
    with pytest.raises(HutchError, match="names no secret: 'x'"):
        parse('[tiers.bare]\nsecrets = ["x"]', {"HOME": "/h"})
