"""The result of a turn in the form that was asked for, with the real Claude Code."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hutch_mcp_tools.service import ServiceError
from support.daemon import daemon, model_config, scripted_model, turn

pytestmark = pytest.mark.slow

KEY = {"ANTHROPIC_API_KEY": "sk-planted-canary"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"sum": {"type": "integer"}},
    "required": ["sum"],
}


def prompt(*steps: dict[str, Any]) -> str:
    return f"Add. SCRIPT: {json.dumps(steps)}"


async def test_a_result_in_the_form_that_was_asked_for_is_in_the_records(tmp_path: Path) -> None:
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", model_config(url), env=KEY, starter=(sys.executable,)) as made,
        made.client() as client,
    ):
        native = {"tool": "StructuredOutput", "args": {"sum": 3}}
        told = await turn(client, prompt(native, {"text": "Three."}), "work", output_schema=SCHEMA)
        assert (told.status, told.error, told.result) == ("idle", None, {"sum": 3})
        assert (await client.get_run(told.run_id or "")).result == {"sum": 3}

        plain = await turn(client, prompt({"text": "Three."}), "work")
        assert (plain.status, plain.result) == ("idle", None)

        with pytest.raises(ServiceError) as refused:
            await turn(client, prompt({"text": "x"}), "work", output_schema={"type": "heron"})
        assert refused.value.code == "turn_invalid"
