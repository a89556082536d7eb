"""What a turn is given beside its prompt, checked and as files, alike for every agent."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from hutch.agents.adapter import AgentTurn, McpServer, invalid
from hutch.errors import HutchError

INSTRUCTIONS = "instructions.md"
SCHEMA = "schema.json"
SERVERS = "mcp.json"

_MODEL = re.compile(r"[A-Za-z0-9][\w.:/@\[\]-]{0,127}", re.ASCII)
_SKILL = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_SERVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_GIVEN_BYTES = 16 << 20
_PORTS = {"http": 80, "https": 443}


def given_files(turn: AgentTurn, skills: str) -> dict[str, bytes]:
    """Return the turn's instructions, skills and schema as files; `skills` is the folder for skills.

    Raises HutchError `turn_invalid`.
    """
    given = skill_files(turn.skills, skills)
    if turn.instructions:
        given[INSTRUCTIONS] = turn.instructions.encode("utf-8", "replace")
    if turn.output_schema is not None:
        given[SCHEMA] = json.dumps(turn.output_schema).encode()
    if sum(map(len, given.values())) > _GIVEN_BYTES:
        raise invalid("instructions and skills over 16 MiB", "put large files into the volume instead")
    return given


def refuse_unheld(turn: AgentTurn, agent: str) -> None:
    """Refuse what an agent without a sandbox and a budget of its own would do unheld."""
    if turn.protects_itself:
        raise invalid(
            f"{agent} on this host itself", "choose a method that makes a sandbox; see: hutch doctor"
        )
    if turn.budget_usd is not None:
        raise invalid(
            f"a budget for {agent} in a network that is not metered",
            "the daemon's owner names the model's host under network.NAME.metered; or use --max-minutes",
        )


def server_files(turn: AgentTurn) -> dict[str, bytes]:
    """Return the turn's servers of MCP as a file in the form of most clients; none: no file."""
    servers = {name: _as_clients_have_it(server) for name, server in checked_servers(turn)}
    return {SERVERS: json.dumps({"mcpServers": servers}).encode()} if servers else {}


def _as_clients_have_it(server: McpServer) -> dict[str, object]:
    if server.url:
        return {"type": "http", "url": server.url, "headers": dict(server.headers)}
    program, *args = server.command
    return {"type": "stdio", "command": program, "args": args, "env": dict(server.env)}


def prompt_with_instructions(turn: AgentTurn) -> str:
    """Return the prompt, behind the instructions: for an agent that has no place of its own for those."""
    if not turn.instructions:
        return turn.prompt
    return f"# How to work, in this turn\n\n{turn.instructions}\n\n# What to do\n\n{turn.prompt}"


def schema_instructions(schema: Mapping[str, object]) -> str:
    """What to tell an agent that knows nothing of schemas; what it answers is checked all the same."""
    return (
        "Your last message is read by a program: it is one JSON value and nothing else, no code fence, "
        f"that conforms to this JSON Schema:\n{json.dumps(schema)}\n"
    )


def with_schema_told(turn: AgentTurn) -> AgentTurn:
    """Return the turn with its schema among its instructions, for an agent that knows nothing of schemas."""
    if turn.output_schema is None:
        return turn
    told = schema_instructions(turn.output_schema)
    return replace(turn, instructions=f"{turn.instructions}\n\n{told}".lstrip())


def skill_files(skills: Mapping[str, Mapping[str, str]], folder: str) -> dict[str, bytes]:
    """Return "folder/skill/path" -> content. Raises HutchError `turn_invalid`."""
    given: dict[str, bytes] = {}
    for skill, files in skills.items():
        if not _SKILL.fullmatch(skill):
            raise invalid(f"skill name {skill[:80]!r}", "use a-z, 0-9, '-' and '_', at most 64 of them")
        if "SKILL.md" not in files:
            raise invalid(f"skill '{skill}' without a SKILL.md", "a skill is a folder with a SKILL.md in it")
        for path, text in files.items():
            given[f"{folder}/{skill}/{_checked_path(skill, path)}"] = text.encode("utf-8", "replace")
    return given


def _checked_path(skill: str, path: str) -> str:
    parts = path.split("/")
    if len(path) > 255 or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise invalid(
            f"path {path[:80]!r} in skill '{skill}'", "use a plain relative path, as in 'data/a.txt'"
        )
    return path


def checked_model(model: str) -> str:
    """Return a model's name. Raises HutchError `turn_invalid`."""
    if not _MODEL.fullmatch(model):
        raise invalid(f"model {model[:80]!r}", "use a model's name, as in 'opus' or 'claude-opus-5-5'")
    return model


def checked_servers(turn: AgentTurn) -> Iterator[tuple[str, McpServer]]:
    """Yield the turn's servers of MCP by their names. Raises HutchError `turn_invalid`."""
    for name, server in turn.servers.items():
        if not _SERVER.fullmatch(name):
            raise invalid(
                f"MCP server's name {name[:80]!r}", "use A-Z, a-z, 0-9, '-' and '_', at most 64 of them"
            )
        if bool(server.command) == bool(server.url):
            raise invalid(f"MCP server '{name}'", "it is a command or a url, one of the two")
        if wrong := [word for word in server.env if not _VARIABLE.fullmatch(word)]:
            raise invalid(f"variable {wrong[0][:80]!r} of MCP server '{name}'", "use A-Z, a-z, 0-9 and '_'")
        yield name, server


def hosts_of(turn: AgentTurn, base_url: str) -> tuple[str, ...]:
    """Return what a turn cannot work without: its model's host, and those of its servers of MCP."""
    urls = [base_url] * bool(base_url) + [server.url for server in turn.servers.values() if server.url]
    return tuple(dict.fromkeys(map(endpoint, urls)))


def endpoint(base_url: str) -> str:
    """Return the "host:port" of a URL. Raises HutchError `agent_invalid`."""
    try:
        url = urlsplit(base_url)
        host, port = url.hostname, url.port or _PORTS[url.scheme]
    except (ValueError, KeyError):
        host, port = None, 0
    if not host or "@" in base_url:
        raise HutchError(
            "agent_invalid",
            f"base URL {base_url[:200]!r} cannot be used",
            "it is 'https://host[:port][/path]', with no user name or password in it",
        )
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
