"""Which secrets a request gets: by name, where they are of use; an agent's own beside them."""

import pytest

from hutch.config import Config, parse
from hutch.egress import Network, union
from hutch.errors import HutchError
from hutch.policy import agents_secrets, grant_secrets

CONFIG = """
[network.tracker]
allow = ["tracker.example.org", "*.files.example.org"]

[secrets.tracker]
from_env = "T"
hosts = ["tracker.example.org"]
place = "bearer"
env = "TRACKER"

[secrets.files]
from_file = "/f"
hosts = ["eu.files.example.org"]
place = "query key"
"""
ENV = {"HOME": "/home/me"}


def configured(more: str = "") -> Config:
    return parse(CONFIG + more, ENV)


def reached(*names: str, config: Config) -> Network:
    return union(names, config.networks)


def test_what_is_granted_is_granted_by_its_name() -> None:
    config = configured()
    network = reached("tracker", config=config)
    granted = grant_secrets(["tracker", "files", "tracker"], config, ["tracker", "files"], network)
    assert [str(each) for each in granted] == [
        "tracker: bearer at tracker.example.org:443",
        "files: query key at eu.files.example.org:443",
    ]


@pytest.mark.parametrize(
    ("asked", "granted", "code"),
    [
        ("tracker", (), "secret_denied"),
        ("tracker", ("files",), "secret_denied"),
        ("unknown", ("unknown",), "secret_denied"),
        ("tracker:env", ("tracker",), "secret_denied"),
        ("files:env", ("files:env",), "secret_denied"),  # it has no variable
        ("github", ("github",), "secret_unreachable"),
    ],
)
def test_what_is_not_granted_or_of_no_use_is_refused(asked: str, granted: tuple[str, ...], code: str) -> None:
    config = configured()
    with pytest.raises(HutchError) as refused:
        grant_secrets([asked], config, granted, reached("tracker", config=config))
    assert refused.value.code == code


def test_whoever_may_have_the_value_may_use_it_unseen_too() -> None:
    config = configured()
    (granted,) = grant_secrets(["tracker"], config, ["tracker:env"], reached("tracker", config=config))
    assert not granted.is_value_inside
    (granted,) = grant_secrets(["tracker:env"], config, ["tracker:env"], Network())
    assert str(granted) == "tracker: its value itself is inside, in TRACKER"


def test_an_agent_has_its_own_where_its_model_is() -> None:
    config = configured()
    (own,) = agents_secrets(config.agents["claude"], config, reached("anthropic", config=config))
    assert str(own) == "anthropic: header x-api-key at api.anthropic.com:443"
    assert own.is_optional
    assert agents_secrets(config.agents["claude"], config, reached("tracker", config=config)) == ()


def test_an_agents_gateway_gets_its_secret_in_place_of_the_provider() -> None:
    gateway = '[agents.claude]\nbase_url = "http://127.0.0.1:8787/v1"\nnetwork = "near"'
    config = configured(f'{gateway}\n[network.near]\nhost_services = ["127.0.0.1:8787"]')
    (own,) = agents_secrets(config.agents["claude"], config, reached("near", config=config))
    assert [str(host) for host in own.secret.hosts] == ["http://127.0.0.1:8787"]


def test_what_is_handed_in_is_no_secret_any_more() -> None:
    config = configured('[agents.claude]\npass_env = ["ANTHROPIC_API_KEY"]')
    assert agents_secrets(config.agents["claude"], config, reached("anthropic", config=config)) == ()


def test_a_built_in_secret_may_come_from_elsewhere() -> None:
    secret = configured('[secrets.github]\nfrom_command = ["gh", "auth", "token"]').secrets["github"]
    assert secret.sources == ["from_command"]
    assert secret.env == "GITHUB_TOKEN"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[secrets.a]\nfrom_env = "A"\nplace = "bearer"', "secrets.a.hosts"),
        ('[secrets.a]\nfrom_env = "A"\nhosts = ["a.example.org"]', "secrets.a.place"),
        ('[secrets.a]\nhosts = ["a.example.org"]\nplace = "bearer"', "secrets.a says with nothing"),
        ('[secrets.github]\nfrom_env = "A"\nfrom_file = "/f"', "says with from_env and from_file"),
        ('[secrets.a]\nhosts = ["*.com"]', "secrets.a.hosts"),
        ('[policy]\nsecrets = ["nobody"]', "policy.secrets names no secret"),
        ('[agents.claude]\nsecrets = ["nobody"]', "agents.claude.secrets names no secret"),
        ('[principals.ci]\nsecrets = ["nobody:env"]', "principals.ci.secrets names no secret"),
    ],
)
def test_a_table_that_is_not_whole_is_told(text: str, key: str) -> None:
    with pytest.raises(HutchError) as refused:
        parse(text, ENV)
    assert key in refused.value.message
