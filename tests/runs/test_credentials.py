"""Which agents are let begin without a credential of their own."""

import os

import pytest

from hutch.agents import Agent
from hutch.config import Config
from hutch.config.load import read
from hutch.runs.planning.credentials import keyless
from support.agent_sandbox import claude

HERE = ("http://127.0.0.1:8787", "http://localhost:8787/v1", "http://127.9.9.9")
ELSEWHERE = ("https://gateway.example.org/v1", "http://10.0.0.5:8080", "http://127.0.0.1.example.org")


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, agent: Agent) -> None:
    for variable in agent.secrets:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def agent() -> Agent:
    return claude("")


def configured(**agents_own: object) -> Config:
    return read({"agents": {"claude": agents_own}}, os.environ, "x", None)


@pytest.mark.parametrize("base_url", HERE)
def test_a_service_of_this_host_is_taken_to_ask_for_no_key(base_url: str, agent: Agent) -> None:
    assert keyless(configured(base_url=base_url), "claude", agent) is None


@pytest.mark.parametrize("base_url", ELSEWHERE)
def test_any_other_gateway_has_to_be_said_to_ask_for_none(base_url: str, agent: Agent) -> None:
    refused = keyless(configured(base_url=base_url), "claude", agent)
    assert refused is not None
    assert refused.code == "agent_keyless"
    assert f"if {base_url} asks for none: needs_key = false in [agents.claude]" in refused.hint
    assert keyless(configured(base_url=base_url, needs_key=False), "claude", agent) is None


def test_without_a_gateway_the_agents_own_service_wants_its_key(agent: Agent) -> None:
    refused = keyless(configured(needs_key=False), "claude", agent)
    assert refused is not None
    assert "needs_key" not in refused.hint


def test_a_key_that_is_there_will_do_anywhere(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any word")
    assert keyless(configured(base_url=ELSEWHERE[0]), "claude", agent) is None
