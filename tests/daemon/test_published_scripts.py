"""Scripts as others publish them, two annotations and a `main`; only what they import differs.

Windmill's announcement of its sandboxes (blog, launch-week-ai-sandboxes) has one in Python and one in
TypeScript of this form; its pages on volumes have those with templates and with absolute paths.
"""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from support.daemon import Daemon, daemon, model_config, scripted_model
from support.needs import need
from support.nodes import newest_node, node_first, readable_node
from support.program import Done, hutch

CLIENTS = Path(__file__).parents[1] / "support/model_clients"
PYTHON = """\
# sandbox
# volume: agent-state .agent

import anthropic_local as anthropic


def main(prompt: str):
    client = anthropic.Anthropic()

    # What is in .agent stays
    answer = client.messages.create(
        model="claude-sonnet-4-20250514",
        max_tokens=1024,
        messages=[{"role": "user", "content": prompt}],
    )

    return answer
"""
TYPESCRIPT = """\
// sandbox
// volume: agent-state .agent

import Anthropic from '/clients/anthropic_local.mjs';
import { MessageStream } from '/clients/anthropic_local.mjs';

export async function main(prompt: string) {
  const client = new Anthropic();

  // What is in .agent stays
  const answer = await client.messages.create({
    model: 'claude-opus-4-6-20260401',
    max_tokens: 1024,
    messages: [{ role: 'user', content: prompt }],
  });

  return answer;
}
"""
ON_VOLUMES = {
    "relative.js": """\
// volume: my-data data
export async function main() {
  const fs = await import("fs");
  fs.writeFileSync("data/result.json", JSON.stringify({ ok: true }));
}
""",
    "absolute.py": """\
# sandbox
# volume: training-data /tmp/data
# volume: model-weights /tmp/models
def main():
    import os
    return sorted(name for name in os.listdir("/tmp") if not os.listdir(f"/tmp/{name}"))
""",
    "named.py": """\
# volume: $workspace-cache cache
# volume: data-$args[env] data
def main(env: str):
    open("data/env", "w").write(env)
""",
}


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Daemon]:
    folder = tmp_path_factory.mktemp("published")
    async with scripted_model() as url:
        more = f'{readable_node()}{"" if readable_node() else "[policy]"}\nnetworks = ["model"]\n'
        async with daemon(folder / "d", more + model_config(url), env={"MODEL": url}) as made:
            stored = await hutch(made, "volume", "put", "-r", "clients", "/", CLIENTS)
            assert stored.code == 0, stored.stderr
            yield made


async def run(made: Daemon, name: str, text: str, folder: Path, *words: str) -> Done:
    path = folder / name
    path.write_text(text)
    env = {"ANTHROPIC_BASE_URL": made.env["MODEL"], "PYTHONPATH": "/clients", **node_first()}
    told = [word for pair in env.items() for word in ("--env", "=".join(pair))]
    return await hutch(made, "run", path, *told, *words)


@pytest.mark.parametrize(("name", "text"), [("agent.py", PYTHON), ("agent.ts", TYPESCRIPT)])
async def test_an_agent_of_two_annotations_runs(name: str, text: str, served: Daemon, tmp_path: Path) -> None:
    if name == "agent.ts":
        need("clients", newest_node() is not None, "Node.js", "scripts/setup clients")
    words = ("--net", "model", "--volume", "clients:/clients:ro", "--arg", "prompt=Greet me.")
    done = await run(served, name, text, tmp_path, *words)
    if "cannot run TypeScript" in done.stderr:
        pytest.skip(done.stderr)  # no newer Node.js was installed; CI has one
    assert done.code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["type"], answer["role"]) == ("message", "assistant")
    # The scripted model's, of no tools
    assert answer["content"] == [{"type": "text", "text": "A short text."}]
    assert answer["model"] in text


@pytest.mark.parametrize(
    ("name", "words", "result", "volumes"),
    [
        ("relative.js", (), None, {"my-data"}),
        ("absolute.py", (), ["data", "models"], {"training-data", "model-weights"}),
        ("named.py", ("--arg", "env=prod"), None, {"default-cache", "data-prod"}),
    ],
)
async def test_volumes_are_declared_as_there(
    name: str, words: tuple[str, ...], result: object, volumes: set[str], served: Daemon, tmp_path: Path
) -> None:
    if name.endswith(".js"):
        need("clients", newest_node() is not None, "Node.js", "scripts/setup clients")
    done = await run(served, name, ON_VOLUMES[name], tmp_path, *words)
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout) == result
    listed = json.loads((await hutch(served, "volume", "ls", "--json")).stdout)
    assert volumes <= {volume["name"] for volume in listed}
