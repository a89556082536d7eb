"""Claude Code, the real one, at work over a folder of the host that stays as it is."""

from pathlib import Path

import pytest

from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.change_records import ApplyRequest, ChangesRequest
from support.daemon import daemon, model_config, scripted_model

pytestmark = pytest.mark.slow

KEY = {"ANTHROPIC_API_KEY": "sk-planted-canary"}
WRITE = 'SCRIPT: [{"write": "/workspace/note.txt", "content": "first\\n"}, {"text": "Noted."}]'
APPEND = 'SCRIPT: [{"shell": "echo second >> /workspace/note.txt"}, {"text": "Done."}]'


async def test_an_agents_turns_go_on_in_one_review(tmp_path: Path) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "mine").write_text("mine\n")
    policy = f'\n[policy]\nworkspaces = ["{folder}"]\n'
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", model_config(url) + policy, env=KEY) as made,
        made.client() as client,
    ):
        request = AgentRequest(agent="claude", prompt=WRITE, volume="work", workspace=f"{folder}:review")
        first = await client.start_agent(request, 45)
        assert (first.status, first.error, first.last_message) == ("idle", None, "Noted.")
        second = await client.send_to_agent(first.session_id, APPEND, 45)
        assert (second.status, second.error, second.turns) == ("idle", None, 2)
        assert second.agent_session_id == first.agent_session_id
        assert [path.name for path in folder.iterdir()] == ["mine"]
        found = await client.get_changes(ChangesRequest(id=first.session_id))
        assert [(each.kind, each.path) for each in found.changes] == [("A", "note.txt")]
        await client.apply_changes(ApplyRequest(id=second.run_id or "", agreed=True))
        assert (folder / "note.txt").read_text() == "first\nsecond\n"
