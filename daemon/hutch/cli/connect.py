"""`hutch connect`: how MCP clients come to Hutch. The token is told by reference."""

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import json_option, note
from hutch.config import Config
from hutch.errors import HutchError

_VARIABLE = "HUTCH_TOKEN"
_TOOL_S = 3600  # longer than any wait; the daemon answers well before a client's own limit


@dataclass(frozen=True, slots=True)
class Snippet:
    """What a client needs: a command to run or the text of one of its files."""

    where: str  # what to do with it
    text: str
    needs_token: bool
    asks: bool = False  # for the token, when it first needs it


@click.command()
@click.argument(
    "client", type=click.Choice(("claude", "codex", "opencode", "gemini", "vscode", "cursor", "zed"))
)
@click.option("--stdio", is_flag=True, help="Let the client start `hutch mcp` instead of calling the URL.")
@click.option("--print", is_flag=True, expose_value=False, help="Print it, and nothing else.")
@json_option
@click.pass_obj
def connect(invocation: Invocation, /, *, client: str, stdio: bool, as_json: bool) -> None:
    """Print how to add Hutch to an MCP client."""
    config = invocation.config
    made = _SNIPPETS[client](_Stdio(config) if stdio else _Http(config))
    if as_json:
        print(
            json.dumps({"client": client, "where": made.where, "text": made.text, "token": made.needs_token})
        )
        return
    note(f"# {made.where}")
    print(made.text)
    if made.needs_token:
        ask = shlex.join([*_hutch(config), "token"])
        if made.asks:
            note(f"# it asks for the token, which this prints: {ask}")
        else:
            note(f"# it takes the token from its environment: export {_VARIABLE}=$({ask})")


# What the clients are told ------------------------------------------------------------


class _Http:
    """Hutch by its URL; the token comes from a variable of the client's environment."""

    needs_token = True

    def __init__(self, config: Config) -> None:
        self.url = f"{_base_url(config)}/mcp"

    def server(self, reference: str, **more: object) -> dict[str, object]:
        return {**more, "url": self.url, "headers": {"Authorization": f"Bearer {reference}"}}


class _Stdio:
    """Hutch as a program that the client starts."""

    needs_token = False

    def __init__(self, config: Config) -> None:
        self.command = [*_hutch(config), "mcp"]

    def server(self, **more: object) -> dict[str, object]:
        return {**more, "command": self.command[0], "args": self.command[1:]}


Way = _Http | _Stdio


def _claude(way: Way) -> Snippet:
    if isinstance(way, _Stdio):
        words = ["claude", "mcp", "add", "--scope", "user", "hutch", "--", *way.command]
        return Snippet("run", shlex.join(words), way.needs_token)
    header = f"Authorization: Bearer ${{{_VARIABLE}}}"  # Claude Code expands it each time; the shell must not
    words = [
        "claude",
        "mcp",
        "add",
        "--transport",
        "http",
        "--scope",
        "user",
        "hutch",
        way.url,
        "--header",
        header,
    ]
    return Snippet("run", shlex.join(words), way.needs_token)


def _codex(way: Way) -> Snippet:
    lines = ["[mcp_servers.hutch]"]
    if isinstance(way, _Stdio):
        lines += [f"command = {json.dumps(way.command[0])}", f"args = {json.dumps(way.command[1:])}"]
    else:
        lines += [f"url = {json.dumps(way.url)}", f'bearer_token_env_var = "{_VARIABLE}"']
    lines += [f"tool_timeout_sec = {_TOOL_S}"]
    return Snippet("add to ~/.codex/config.toml", "\n".join(lines), way.needs_token)


def _opencode(way: Way) -> Snippet:
    if isinstance(way, _Stdio):
        server: dict[str, object] = {"type": "local", "command": way.command, "enabled": True}
    else:
        # Without "oauth": false it looks for a log-in page first
        server = way.server(f"{{env:{_VARIABLE}}}", type="remote", enabled=True, oauth=False)
    return _file("~/.config/opencode/opencode.json", {"mcp": {"hutch": server}}, way)


def _gemini(way: Way) -> Snippet:
    timeout = _TOOL_S * 1000
    if isinstance(way, _Stdio):
        server = way.server(timeout=timeout)
    else:
        server = way.server(f"${_VARIABLE}", type="http", timeout=timeout)
    return _file("~/.gemini/settings.json", {"mcpServers": {"hutch": server}}, way)


def _vscode(way: Way) -> Snippet:
    if isinstance(way, _Stdio):
        return _file(".vscode/mcp.json", {"servers": {"hutch": way.server(type="stdio")}}, way)
    server = way.server("${input:hutch-token}", type="http")
    asked = {"type": "promptString", "id": "hutch-token", "password": True, "description": "Hutch token"}
    made = _file(".vscode/mcp.json", {"servers": {"hutch": server}, "inputs": [asked]}, way)
    return replace(made, asks=True)


def _cursor(way: Way) -> Snippet:
    server = way.server() if isinstance(way, _Stdio) else way.server(f"${{env:{_VARIABLE}}}")
    return _file("~/.cursor/mcp.json", {"mcpServers": {"hutch": server}}, way)


def _zed(way: Way) -> Snippet:
    if isinstance(way, _Http):
        raise HutchError(
            "client_unsupported",
            "Zed reads no token from its environment, and a token does not belong into its settings",
            "use: hutch connect zed --stdio",
        )
    return _file("Zed's settings.json", {"context_servers": {"hutch": way.server(env={})}}, way)


_SNIPPETS: dict[str, Callable[[Way], Snippet]] = {
    "claude": _claude,
    "codex": _codex,
    "opencode": _opencode,
    "gemini": _gemini,
    "vscode": _vscode,
    "cursor": _cursor,
    "zed": _zed,
}


def _file(name: str, document: dict[str, object], way: Way) -> Snippet:
    return Snippet(f"add to {name}", json.dumps(document, indent=2), way.needs_token)


def _base_url(config: Config) -> str:
    """Where the daemon is, or, where none has run yet, where it will be."""
    from hutch.client import daemon_url

    try:
        return daemon_url(config)
    except HutchError:
        if not config.daemon.listen.port:
            raise
        return f"http://{config.daemon.listen}"


def _hutch(config: Config) -> list[str]:
    """How a client, which may have another PATH and other variables, starts this very Hutch."""
    program = Path(sys.executable).parent / "hutch"
    words = [str(program)] if program.exists() else [sys.executable, "-m", "hutch"]
    return [*words, "--config", str(config.file)] if config.file else words
