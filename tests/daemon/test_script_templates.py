"""What `hutch init` writes works as it is: each template with its own agent, on the scripted model."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from hutch.cli.init import TEMPLATES
from support.agent_sandbox import NODE_AGENTS, gemini_program, opencode_binary
from support.daemon import Daemon, daemon, model_config, scripted_model
from support.program import Done, hutch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OF_NODE = {"opencode": opencode_binary, "gemini": gemini_program}
WRITE = 'Make a note. SCRIPT: [{"shell": "echo first > note.txt"}, {"text": "Noted."}]'
RECALL = 'What did I ask? SCRIPT: [{"shell": "test -s note.txt && ls -A"}, {"text": "A note."}]'
KEYS = {
    "ANTHROPIC_API_KEY": "sk-planted-canary",
    "OPENAI_API_KEY": "sk-another-canary",
    "GEMINI_API_KEY": "AIza-a-third",
}


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Daemon]:
    folder = tmp_path_factory.mktemp("templates")
    async with scripted_model() as url, daemon(folder / "d", config(url), env=KEYS) as made:
        yield made


def config(url: str) -> str:
    """Every agent at the scripted model."""
    codex = f'\n[agents.codex]\nbase_url = "{url}/v1"\nnetwork = "model"\n'
    opencode = f"""
[agents.opencode]
command = "{NODE_AGENTS}/opencode-linux-x64/bin/opencode"
model = "anthropic/claude-opus-5-5"
base_url = "{url}/v1"
network = "model"
"""
    gemini = f"""
[agents.gemini]
command = "{NODE_AGENTS}/@google/gemini-cli/bundle/gemini.js"
base_url = "{url}"
network = "model"
"""
    return model_config(url) + codex + opencode + gemini


def told(done: Done) -> dict[str, object]:
    assert (done.code, done.stderr) == (0, done.stderr)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("template", TEMPLATES)
async def test_a_template_works_and_goes_on_where_it_was(
    template: str, served: Daemon, tmp_path: Path
) -> None:
    if template in OF_NODE:
        OF_NODE[template]()
    written = await hutch(served, "init", template, tmp_path / "new")
    path = Path(written.stdout.strip())
    assert path == tmp_path / f"new/{template}.py"
    words = ("run", path, "--arg", f"volume=of-{template}", "--arg")
    first = told(await hutch(served, *words, f"prompt={WRITE}"))
    second = told(await hutch(served, *words, f"prompt={RECALL}"))
    assert (first["text"], second["text"]) == ("Noted.", "A note.")
    if template == "custom":
        assert (first["said"], second["said"]) == (4, 8)
    else:
        assert first["session"] == second["session"]
    note = await hutch(served, "volume", "cat", f"of-{template}", "note.txt")
    assert note.stdout == "first\n"


async def test_the_key_is_not_in_the_script_s_reach(served: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "look.py"
    body = "return [dict(os.environ), shutil.which('claude')]"
    path.write_text(f"# agent: claude\nimport os, shutil\ndef main():\n    {body}\n")
    done = await hutch(served, "run", path)
    env, where = json.loads(done.stdout)
    assert where == "/opt/agent/claude"
    assert not [key for key in KEYS.values() if key in json.dumps(env)]
    assert env["ANTHROPIC_BASE_URL"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize("template", TEMPLATES)
async def test_a_template_is_a_script_and_replaces_nothing(
    template: str, served: Daemon, tmp_path: Path
) -> None:
    path = tmp_path / f"{template}.py"
    assert (await hutch(served, "init", template, folder=tmp_path)).stdout.strip() == path.name
    path.write_text("mine")
    refused = await hutch(served, "init", template, folder=tmp_path)
    assert (refused.code, path.read_text()) == (1, "mine")
    assert refused.stderr.startswith("error: script_exists: ")
    path.unlink()
    await hutch(served, "init", template, folder=tmp_path)
    done = await hutch(served, "run", path, "--arg", "volume=v1")
    missing = "main needs an argument 'prompt'"
    assert missing in done.stderr, "its head is read, and its main"
