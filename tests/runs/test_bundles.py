"""Bundles: what a request becomes by them."""

from pathlib import Path

import pytest

from hutch.config import Config, parse
from hutch.errors import HutchError
from hutch.runs.turns.bundles import with_bundles
from hutch_mcp_tools.agent_records import AgentRequest, McpServerSpec

REQUEST = AgentRequest(agent="claude", prompt="Go.")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for name in ("house", "team"):
        (tmp_path / name / "skills/tidy").mkdir(parents=True)
        (tmp_path / name / "how.md").write_text(f"As in {name}.")
        (tmp_path / name / "skills/tidy/SKILL.md").write_text(f"Of {name}.")
    (tmp_path / "mcp.json").write_text('{"mcpServers": {"files": {"command": "serve", "args": ["-v"]}}}')
    tables = "".join(
        f'[bundles.{name}]\ninstructions = "{tmp_path}/{name}/how.md"\n'
        f'skills = ["{tmp_path}/{name}/skills"]\n'
        for name in ("house", "team")
    )
    servers = f'mcp_config = "{tmp_path}/mcp.json"\n'
    return parse(tables + servers + '[agents.claude]\nbundles = ["house"]\n', {"HOME": str(tmp_path)})


async def test_the_agents_own_come_first_and_the_request_s_words_last(config: Config) -> None:
    asked = REQUEST.model_copy(update={"bundles": ["team"], "instructions": "And so."})
    given = await with_bundles(config, asked)
    assert given.instructions == "As in house.\n\nAs in team.\n\nAnd so."
    assert given.skills == {"tidy": {"SKILL.md": "Of team."}}
    assert given.mcp_servers == {"files": McpServerSpec(command="serve", args=["-v"])}
    assert given.bundles == []


async def test_a_part_of_a_bundle_may_be_named_alone(config: Config) -> None:
    given = await with_bundles(config, REQUEST.model_copy(update={"bundles": ["team:instructions"]}))
    assert given.instructions == "As in house.\n\nAs in team."
    assert given.skills == {"tidy": {"SKILL.md": "Of house."}}
    assert given.mcp_servers == {}


@pytest.mark.parametrize("name", ["nobody", "team:everything", "../etc", ""])
async def test_a_name_that_is_none_is_told_with_those_there_are(config: Config, name: str) -> None:
    with pytest.raises(HutchError) as refused:
        await with_bundles(config, REQUEST.model_copy(update={"bundles": [name]}))
    assert refused.value.code == "bundle_unknown"
    assert "known: house, team" in refused.value.hint


async def test_servers_that_are_none_are_refused(config: Config, tmp_path: Path) -> None:
    for text in ('{"mcpServers": {"files": {}}}', "[1]", "{"):
        (tmp_path / "mcp.json").write_text(text)
        with pytest.raises(HutchError, match=r"mcp\.json is no"):
            await with_bundles(config, REQUEST.model_copy(update={"bundles": ["team"]}))


def test_a_bundle_that_an_agent_names_has_to_be_there() -> None:
    with pytest.raises(HutchError, match=r"agents\.claude\.bundles names no bundle: 'house'"):
        parse('[agents.claude]\nbundles = ["house"]\n', {"HOME": "/home/ada"})
