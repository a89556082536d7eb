"""Reading the configuration: what is said takes the place of a default, and every mistake is named."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.config import (
    Address,
    Agent,
    Config,
    Daemon,
    Limits,
    Method,
    Network,
    Policy,
    Principal,
    Storage,
    parse,
)
from hutch.config.load import METHOD_KINDS
from hutch.config.reader import Reader, keys_of
from hutch.errors import HutchError
from hutch.origins import read_origin
from hutch_launchers.registry import KINDS
from hutch_launchers.sizes import parse_size, size
from hutch_launchers.spec import Guarantee
from support.configured import ENV, refusal
from support.networks import configured


def test_without_a_file_the_defaults_are_complete() -> None:
    config = parse("", ENV)
    assert config.daemon.listen == Address("127.0.0.1", 8750)
    assert config.daemon.state == Path("/home/ada/.local/state/hutch")
    assert config.daemon.cache == Path("/home/ada/.cache/hutch")
    assert config.daemon.socket == Path("/home/ada/.local/state/hutch/hutch.sock")
    assert config.storage.url == "file:///home/ada/.local/state/hutch/store"
    assert config.policy.limits == Limits(120.0, 2 << 30, 512, 2.0, 1 << 30)
    assert config.methods == {"bubblewrap": Method("bubblewrap", {})}
    assert config.agents["claude"] == Agent()
    assert config.agents["codex"] == Agent("codex", network="openai", secrets=("openai",))
    assert config.agents["gemini"] == Agent("gemini", network="google", secrets=("gemini",))
    assert config.agents["opencode"] == Agent("opencode")
    assert config.networks["anthropic"].allow == configured("api.anthropic.com").allow
    assert config.networks["anthropic"].metered == (read_origin("api.anthropic.com"),)
    assert {"openai", "python", "node", "rust", "go", "debian", "github", "full"} <= config.networks.keys()


def test_what_is_said_replaces_the_default_and_nothing_else() -> None:
    text = """
        [daemon]
        listen = "[::1]:0"
        state = "~/hutch"
        [policy]
        needs = ["filesystem", "kernel"]
        workspaces = ["~/src"]
        networks = ["local"]
        [policy.limits]
        memory = "512MiB"
        [policy.max_limits]
        cpus = 4
        [methods.mine]
        kind = "wrapper"
        command = ["~/bin/wrap", "{command}"]
        [agents.claude]
        base_url = "http://127.0.0.1:8787"
        network = "local"
        [network.local]
        host_services = ["127.0.0.1:8787"]
    """
    default = parse("", ENV)
    state = Path("/home/ada/hutch")
    assert parse(text, ENV) == Config(
        daemon=replace(default.daemon, listen=Address("::1", 0), state=state, socket=state / "hutch.sock"),
        storage=replace(default.storage, url="file:///home/ada/hutch/store"),
        policy=replace(
            default.policy,
            needs=frozenset({Guarantee.FILESYSTEM, Guarantee.KERNEL}),
            workspaces=(Path("/home/ada/src"),),
            networks=("local",),
            limits=replace(default.policy.limits, memory_bytes=512 << 20),
            max_limits=replace(default.policy.max_limits, cpus=4.0),
        ),
        methods={
            "bubblewrap": Method("bubblewrap", {}),
            "mine": Method("wrapper", {"command": ["/home/ada/bin/wrap", "{command}"]}),
        },
        agents={**default.agents, "claude": Agent(base_url="http://127.0.0.1:8787", network="local")},
        networks={**default.networks, "local": configured(services=["127.0.0.1:8787"])},
    )


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[polcy]", "polcy is not a key", "did you mean 'policy'?"),
        ("[policy]\nmax_volume = 3", "policy.max_volume is not a key", "did you mean 'max_volumes'?"),
        ("[policy.limits]\nmem = 3", "policy.limits.mem is not a key", "did you mean 'memory'?"),
        ("[agents.claude]\nzzz = 3", "agents.claude.zzz is not a key", "docs/configuration.md"),
    ],
)
def test_an_unknown_key_is_named_with_its_file_and_the_nearest_known_one(
    text: str, message: str, hint: str
) -> None:
    said = refusal(text)
    assert said[0] == f"/etc/h.toml: {message}"
    assert said[1].startswith(hint)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("policy = 3", "policy must be a table"),
        ("[policy]\nlimits = 3", "policy.limits must be a table"),
        ("[policy]\nmax_volumes = true", "policy.max_volumes must be a whole number, not True"),
        ("[policy]\nmax_volumes = 3.0", "policy.max_volumes must be a whole number, not 3.0"),
        ("[policy]\nmax_volumes = -1", "policy.max_volumes must be from 0 to 100, not -1"),
        ("[policy.limits]\nwall_s = nan", "policy.limits.wall_s must be from 1 to 86400 seconds, not nan"),
        ("[policy.limits]\nwall_s = '2m'", "policy.limits.wall_s must be a number of seconds, not '2m'"),
        (
            "[policy.limits]\nmemory = '2Q'",
            "policy.limits.memory must be a size such as \"512MiB\", not '2Q'",
        ),
        (
            "[policy.limits]\nmemory = '1KB'",
            "policy.limits.memory must be at least 16 MiB, not '1KB'",
        ),
        (
            "[policy.limits]\nmemory = '64GiB'",
            "policy.limits.memory is 68719476736, above policy.max_limits.memory, 34359738368",
        ),
        ("[policy]\nneeds = ['memroy']", "policy.needs must be one of filesystem, network"),
        ("[policy]\nneeds = ['pids', 'pids']", "policy.needs must not name anything twice"),
        ("[policy]\nreadable = ['src']", "policy.readable must be an absolute path"),
        ("[policy]\nreadable = ['/a/../b']", "policy.readable must be an absolute path"),
        ("[policy]\nworkspaces = ['']", "policy.workspaces must be an absolute path"),
        ("[policy]\nmethod = 'docker'", "policy.method names no method: 'docker'"),
        ("[policy]\nnetworks = ['x']", "policy.networks names no network: 'x'"),
        ("[daemon]\nlisten = 'localhost'", "daemon.listen must be an address and a port"),
        ("[daemon]\nlisten = 'example.org:80'", "daemon.listen must be an address and a port"),
        ("[daemon]\nlisten = '127.0.0.1:65536'", "daemon.listen must be an address and a port"),
        ("[daemon]\nlisten = '0.0.0.0:80'", "daemon.listen is 0.0.0.0:80, which other machines can reach"),
        ("[daemon]\nlog_level = 'loud'", "daemon.log_level must be one of debug"),
        ("[daemon]\nworkspace = '../x'", "daemon.workspace must be 2 to 255 of"),
        ("[daemon]\nallow_remote = 1", "daemon.allow_remote must be true or false, not 1"),
        (f"[daemon]\nsocket = '/{'x' * 107}'", "daemon.socket is longer than the 107 bytes"),
        ("[daemon]\nallowed_hosts = ['box:80']", "daemon.allowed_hosts must be a host name without a port"),
        ("[daemon]\nallowed_hosts = ['*']", "daemon.allowed_hosts must be a host name without a port"),
        ("[daemon]\nallowed_origins = ['https://a/']", "daemon.allowed_origins must be an origin such as"),
        ("[storage]\nurl = 'ftp://b'", "storage.url must be file:///FOLDER, s3://"),
        ("[methods.x]", "methods.x.kind must be one of account, bubblewrap, "),
        ("[methods.'../x']", "methods.'../x' must be named by"),
        ("[agents.claude]\nnetwork = 'x'", "agents.claude.network names no network: 'x'"),
        ("[agents.claude]\npass_env = ['A=B']", "agents.claude.pass_env must be the name of an environment"),
        ("[network.none]", "network.'none' must be named by"),
        ("[network.x]\nallow = ['*']", "network.x.allow must be such as"),
        ("[network.x]\nhost_services = ['db']", "network.x.host_services must be a service such as"),
        ("[network.x]\nmax_bytes = {'a.org' = 'much'}", "network.x.max_bytes must be a size"),
        ("[policy]\nnetwork_hosts = ['*.com']", "policy.network_hosts must be such as"),
        ("[network.x]\nallow = ['a.org:0']", "network.x.allow must be such as"),
        ("[network.x]\nallow = ['https://a.org:443']", "network.x.allow must be such as"),
        ("[daemon", "is not TOML: "),
    ],
)
def test_a_wrong_value_is_named_with_what_it_must_be(text: str, message: str) -> None:
    assert refusal(text)[0].startswith(f"/etc/h.toml: {message}")


def test_a_misspelt_kind_of_method_is_answered_with_the_one_that_was_meant() -> None:
    assert refusal("[methods.x]\nkind = 'bublewrap'")[1] == "did you mean 'bubblewrap'?"
    assert refusal("[methods.x]\nkind = 7")[1] == ""


@pytest.mark.parametrize("text", ["1G", "512M", "64M"])
def test_a_size_needs_no_unit_in_full(text: str) -> None:
    for table in ("policy.limits", "tiers.x.limits", "agents.claude"):
        parse(f"[{table}]\nmemory = '{text}'", ENV)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("*.com", "too broad: a wildcard needs two labels, as in '*.example.org'"),
        ("*.co.uk", "too broad: anybody can have a name below co.uk; name the hosts one by one"),
        ("*.github.io:8443", "too broad: anybody can have a name below github.io; name the hosts one by one"),
    ],
)
def test_a_wildcard_under_which_anybody_can_have_a_name_is_refused_with_the_reason(
    pattern: str, why: str
) -> None:
    for where in ("[network.x]\nallow", "[policy]\nnetwork_hosts"):
        assert refusal(f"{where} = ['{pattern}']")[0].endswith(f"not '{pattern}': {why}")
    parse(f"[network.x]\ndeny = ['{pattern}', '*.org']", ENV)  # what takes away may be broad


def test_another_machine_reaches_the_daemon_only_if_that_is_said() -> None:
    config = parse('[daemon]\nlisten = "0.0.0.0:80"\nallow_remote = true', ENV)
    assert config.daemon.listen == Address("0.0.0.0", 80)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0B", 0),
        ("10GB", 10**10),
        ("512MiB", 512 << 20),
        ("1.5 KiB", 1536),
        ("64M", 64 << 20),
        ("64mb", 64 * 10**6),
        ("64Mi", 64 << 20),
        ("2Q", None),
        ("64", None),
        ("", None),
        ("-1B", None),
    ],
)
def test_a_size_has_a_unit(text: str, count: int | None) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (8 << 20, "8 MiB"), (3 << 29, "1.5 GiB"), (5 << 50, "5120 TiB")],
)
def test_a_size_is_told_in_its_largest_unit(count: int, text: str) -> None:
    assert size(count) == text


TOML_VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
KEYS = [
    (record, key)
    for record in (Daemon, Storage, Policy, Agent, Network, Principal)
    for key in sorted(keys_of(record))
]


@given(st.sampled_from(KEYS), TOML_VALUES)
def test_any_value_is_read_or_refused_and_never_ends_otherwise(key: tuple[type, str], value: object) -> None:
    record, name = key
    refused: HutchError | None = None
    try:
        Reader("file").record(record, {name: value}, "section", record())
    except HutchError as error:
        refused = error
    assert refused is None or refused.message.startswith(f"file: section.{name}")


def test_the_kinds_of_method_are_those_that_there_are() -> None:
    assert set(METHOD_KINDS) == set(KINDS)


def test_credentials_come_from_one_place() -> None:
    twice = "[storage]\nurl = 's3://bucket'\ncredentials_env = ['A', 'B']\ncredentials_file = '/keys'\n"
    assert "storage.credentials_env" in " ".join(refusal(twice))
    assert "storage.profile" in " ".join(refusal("[storage]\nurl = 'az://container'\nprofile = 'work'\n"))


def test_an_agent_of_many_providers_begins_with_the_network_and_the_key_of_its_models() -> None:
    config = parse(
        """
        [agents.opencode]
        model = "google/gemini-2.5-pro"
        [agents.second]
        adapter = "opencode"
        model = "openrouter/openai/gpt-5"
        network = "openrouter, python"
        [agents.third]
        adapter = "opencode"
        model = "mine/llama"
        """,
        ENV,
    )
    said = {name: (agent.network, agent.secrets) for name, agent in config.agents.items()}
    assert said["opencode"] == ("google", ("gemini",))
    assert said["second"] == ("openrouter, python", ("openrouter",))
    assert said["third"] == ("anthropic", ("anthropic",))
