"""A run that an agent has us begin: whatever it asks for, it gets no more than the agent's own run has."""

from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.access import Level, Rights
from hutch.access.rights import OWNERS_RIGHTS
from hutch.budgets import ASKED, Limit
from hutch.config import parse
from hutch.destinations import read_pattern
from hutch.egress import Network, Rule, judge
from hutch.errors import HutchError
from hutch.policy import Plan, Wish, as_child, childs_wish, decide, grant_secrets, narrowed_to
from hutch_launchers.spec import Mount

CONFIG = parse(
    """
[policy]
readable = ["/opt/tools"]
writable = ["/srv/cache"]
networks = ["pypi", "model", "rules"]
network_hosts = ["*.example.org"]
secrets = ["one", "two"]
images = ["debian:12"]
workspaces = ["/srv/work"]
[network.pypi]
allow = ["pypi.org", "files.example.org"]
[network.model]
allow = ["api.example.org"]
host_services = ["127.0.0.1:8787"]
[network.rules]
deny = ["files.example.org"]
[network.rules.http]
"api.example.org" = [{methods = ["GET"]}]
[secrets.one]
from_env = "ONE"
hosts = ["api.example.org"]
place = "bearer"
env = "ONE"
[secrets.two]
from_env = "TWO"
hosts = ["pypi.org"]
place = "bearer"
env = "TWO"
[methods.other]
kind = "bubblewrap"
[tiers.mine]
network = "none"
""",
    {"HOME": "/home/someone"},
)
NETWORKS = ("pypi", "model", "rules")
DOOR = Rule(read_pattern("hutch.internal:80"), is_host_service=True, socket=Path("/run/hutch.sock"))
HOSTS = ("pypi.org", "files.example.org", "api.example.org", "other.example.org", "hutch.internal")

asked_networks = st.lists(
    st.sampled_from((*NETWORKS, "allow:other.example.org", "allow:files.example.org")), unique=True
).map(lambda names: ",".join(sorted(names, key=lambda name: name.startswith("allow:"))))
wishes = st.builds(
    Wish,
    command=st.just("id"),
    volumes=st.sampled_from(((), ("work:/data:ro",), ("work:/data",), ("other:/data:ro",), ("new=work:/d",))),
    method=st.sampled_from((None, "bubblewrap", "other")),
    image=st.sampled_from((None, "debian:12")),
    workspace=st.sampled_from((None, "/srv/work", "/srv/work:review")),
    network=st.none() | asked_networks | st.just("learn"),
    secrets=st.lists(st.sampled_from(("one", "two", "one:env")), unique=True),
    wall_s=st.none() | st.floats(1, 86_400),
    memory_bytes=st.none() | st.integers(16 << 20, 32 << 30),
    pids=st.none() | st.integers(2, 8192),
    cpus=st.none() | st.floats(0.01, 64),
)


def parent_of(wish: Wish) -> Plan:
    """The plan of an agent's turn, with its door to us."""
    own = replace(wish, volumes=("work",), secrets=(), workspace=None)
    plan = decide(own, CONFIG, OWNERS_RIGHTS, shell="/bin/sh", networks=NETWORKS)
    with suppress(HutchError):  # what its network does not reach
        plan = replace(plan, secrets=grant_secrets(["one"], CONFIG, ["one"], plan.network))
    network = replace(plan.network, allow=(DOOR, *plan.network.allow))
    return replace(plan, network=network, children=4, budgets=(Limit(ASKED, "run", requests=3),))


def child_of(parent: Plan, wish: Wish, left_s: float = 60.0) -> Plan:
    config = narrowed_to(CONFIG, parent, parent.network, "owner", left_s)
    rights = Rights(shares={"default/work": Level.READ})
    policy = config.policy
    plan = decide(
        childs_wish(wish, parent), config, rights, shell="/bin/sh", networks=frozenset(policy.networks)
    )
    secrets = grant_secrets(wish.secrets, config, policy.secrets, plan.network)
    return as_child(replace(plan, secrets=secrets), parent, parent.network, "r-parent")


@given(wishes, wishes, st.floats(1, 3600))
def test_a_child_is_never_wider_than_its_parent(asked: Wish, wish: Wish, left_s: float) -> None:
    parent = parent_of(asked)
    try:
        child = child_of(parent, wish, left_s)
    except HutchError:
        return
    assert child.limits.wall_s <= left_s
    most = asdict(replace(parent.limits, wall_s=left_s))
    assert all(value <= most[name] for name, value in asdict(child.limits).items())
    assert (child.method, child.image, child.workspace) == (parent.method, parent.image, None)
    assert child.needs >= parent.needs
    assert {mount.source for mount in child.mounts} <= {mount.source for mount in parent.mounts}
    assert not any(mount.writable for mount in child.mounts)
    assert not any(volume.writable for volume in child.volumes)
    assert {volume.name for volume in child.volumes} <= {"work"}
    assert {each.name for each in child.secrets} <= {each.name for each in parent.secrets}
    assert not any(each.is_value_inside for each in child.secrets)
    assert (child.budgets, child.children) == (parent.budgets, 0)
    assert not child.network.is_learning
    for host in HOSTS:
        for port in (80, 443, 8787):
            if isinstance(judge(child.network, host, port), Rule):
                assert isinstance(judge(parent.network, host, port), Rule)
                assert (host, port) != ("hutch.internal", 80)
    if child.network:
        assert child.network.http == parent.network.http
        assert child.network.deny == parent.network.deny


def test_what_is_judged_on_its_parents_ways_is_so_on_its_own() -> None:
    parent = parent_of(Wish(command="x", network="pypi,model,rules"))
    child = child_of(parent, Wish(command="x", network="model"))
    assert child.network.http == parent.network.http != {}
    assert [rule.pattern.host for rule in child.network.allow] == ["127.0.0.1", "api.example.org"]
    assert child_of(parent, Wish(command="x")).network == Network()


def test_what_is_hidden_of_a_folder_stays_hidden() -> None:
    parent = parent_of(Wish(command="x"))
    hidden = Mount(Path("/empty"), PurePosixPath("/opt/tools/secret"))
    in_workspace = Mount(Path("/empty"), PurePosixPath("/workspace/secret"))
    child = child_of(replace(parent, masks=(hidden, in_workspace)), Wish(command="x"))
    assert child.masks == (hidden,)


@pytest.mark.parametrize("budget", [{"budget_usd": 1.0}, {"budget_tokens": 1}, {"pause_at_budget": True}])
def test_a_child_has_no_purse_of_its_own(budget: dict[str, float]) -> None:
    with pytest.raises(HutchError) as refused:
        child_of(parent_of(Wish(command="x")), Wish(command="x", **budget))  # type: ignore[arg-type]
    assert refused.value.code == "limit_exceeded"
