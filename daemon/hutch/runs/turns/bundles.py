"""Named bundles of the configuration, put into what an agent is asked: its own, and those of the request."""

import json
from collections.abc import Iterator
from pathlib import Path

from anyio import to_thread
from pydantic import TypeAdapter, ValidationError

from hutch.agents import read_instructions, read_skills
from hutch.config import Bundle, Config
from hutch.errors import HutchError
from hutch.runs.turns.references import refuse_credentials
from hutch_mcp_tools.agent_records import AgentRequest, McpServerSpec

PARTS = ("instructions", "skills", "mcp")
_SERVERS = TypeAdapter(dict[str, McpServerSpec])


async def with_bundles(config: Config, request: AgentRequest) -> AgentRequest:
    """Return the request with what its bundles hold now; what it says itself stands above them.

    Raises HutchError `bundle_unknown`, `given_invalid`, and `turn_invalid` where it holds a credential.
    """
    named = [*config.agents[request.agent].bundles, *request.bundles]
    if named:
        request = await to_thread.run_sync(_laid_in, config, request, named)
    refuse_credentials(request.mcp_servers)
    return request


def _laid_in(config: Config, request: AgentRequest, named: list[str]) -> AgentRequest:
    instructions: list[str] = []
    skills: dict[str, dict[str, str]] = {}
    servers: dict[str, McpServerSpec] = {}
    for bundle, part in _meant(config, named):
        if part == "instructions" and bundle.instructions != Path():
            instructions.append(read_instructions(bundle.instructions))
        if part == "skills":
            for folder in bundle.skills:
                skills |= read_skills(folder)
        if part == "mcp" and bundle.mcp_config != Path():
            servers |= _read_servers(bundle.mcp_config)
    if request.instructions:
        instructions.append(request.instructions)
    return request.model_copy(
        update={
            "instructions": "\n\n".join(instructions) or None,
            "skills": {**skills, **request.skills},
            "mcp_servers": {**servers, **request.mcp_servers},
            "bundles": [],
        }
    )


def _meant(config: Config, named: list[str]) -> Iterator[tuple[Bundle, str]]:
    """Yield each part of each bundle once, "NAME" for all of it and "NAME:PART" for one."""
    for word in dict.fromkeys(named):
        name, colon, part = word.partition(":")
        if name not in config.bundles or (colon and part not in PARTS):
            known = ", ".join(sorted(config.bundles)) or "none"
            raise HutchError(
                "bundle_unknown",
                f"there is no bundle {word[:100]!r}",
                f"known: {known}; of each, NAME:{', NAME:'.join(PARTS)}",
            )
        for each in (part,) if colon else PARTS:
            if not colon or name not in named:
                yield config.bundles[name], each


def _read_servers(file: Path) -> dict[str, McpServerSpec]:
    try:
        told = json.loads(read_instructions(file))
        return _SERVERS.validate_python(told.get("mcpServers", told) if isinstance(told, dict) else told)
    except (ValueError, RecursionError) as error:
        why = "servers of MCP" if isinstance(error, ValidationError) else "JSON"
        raise HutchError(
            "given_invalid", f"{file} is no {why}", 'write it as clients do: {"mcpServers": {…}}'
        ) from None
