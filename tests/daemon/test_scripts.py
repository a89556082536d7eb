"""Annotated scripts through a real daemon, in real sandboxes: arguments in, a result out."""

import shutil
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.service import ServiceError
from support.daemon import Daemon, daemon, output, run
from support.needs import need
from support.nodes import newest_node, node_first, readable_node

PYTHON = """
import asyncio, dataclasses, datetime, os, pathlib, subprocess, sys

@dataclasses.dataclass
class Answer:
    text: str
    at: datetime.date

async def main(user: str, n: int = 3, **others):
    print("said by main")
    subprocess.run(["echo", "said by a child"], check=True)
    await asyncio.sleep(0)
    return {"user": user, "n": n, "others": others, "cwd": os.getcwd(), "path": pathlib.Path("/a"),
            "answer": Answer("é", datetime.date(2026, 1, 2)), "stdin": sys.stdin.read()}
"""
BASH = """
name="$1"
count="${2:-10}"
echo "working for $name"
ls /opt/given/script >&2
printf '{"name": "%s", "count": %s}' "$name" "$count"
"""
JAVASCRIPT = """
import fs from "node:fs";
export async function main(prompt, count = 4) {
  console.log("said by main");
  return { prompt, count, when: new Date(0), here: fs.existsSync("/opt/given/script/call.json") };
}
"""


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Daemon]:
    async with daemon(tmp_path_factory.mktemp("d") / "x", readable_node()) as made:
        yield made


@pytest.fixture
async def client(served: Daemon) -> AsyncGenerator[Client]:
    async with served.client() as connected:
        yield connected


async def script(client: Client, name: str, text: str, **values: Any) -> RunRecord:
    return await run(client, [name], script={"name": name, "text": text}, **values)


async def test_what_main_returns_is_the_result_and_all_else_is_stderr(client: Client) -> None:
    args = {"user": "ada", "deep": {"a": [1, None]}}
    record = await script(client, "x.py", PYTHON, args=args, stdin="aW4=")
    assert record.exit_code == 0
    assert record.result == {
        "user": "ada",
        "n": 3,
        "others": {"deep": {"a": [1, None]}},
        "cwd": "/home/agent",
        "path": "/a",
        "answer": {"text": "é", "at": "2026-01-02"},
        "stdin": "in",
    }
    stdout, stderr = await output(client, record)
    assert stdout.count("\n") == 1
    assert stderr == "said by main\nsaid by a child\n"
    assert (await client.get_run(record.run_id)).result == record.result
    listed = {each.run_id: each.result for each in await client.list_runs()}
    assert listed[record.run_id] is None


async def test_volumes_of_a_script_are_where_it_works(client: Client) -> None:
    text = "def main(user):\n    open('.agent/n', 'a').write('x')\n    return len(open('.agent/n').read())\n"
    values = {"volumes": ["state-$args[user]:/home/agent/.agent"], "args": {"user": "ada"}}
    assert (await script(client, "x.py", text, **values)).result == 1
    record = await script(client, "x.py", text, **values)
    assert (record.result, list(record.snapshots)) == (2, ["state-ada"])
    assert (await script(client, "x.py", text, **values | {"args": {"user": "bob"}})).result == 1


async def test_the_last_line_of_bash_is_its_result(client: Client) -> None:
    record = await script(client, "x.sh", BASH, args={"name": "a b'\"$HOME\n"})
    assert record.result == '", "count": 10}'  # its last line, which is no JSON
    record = await script(client, "x.sh", BASH, args={"name": "a b $HOME", "count": 5})
    assert record.result == {"name": "a b $HOME", "count": 5}
    assert "working for a b $HOME\n" in (await output(client, record))[1]
    record = await script(client, "x.sh", "echo one; echo done; exit 3")
    assert (record.exit_code, record.result) == (3, None)


async def test_javascript_gets_its_arguments_by_name(client: Client) -> None:
    need("clients", newest_node() is not None, "Node.js", "scripts/setup clients")
    record = await script(client, "x.mjs", JAVASCRIPT, args={"prompt": "hi"}, env=node_first())
    assert record.result == {"prompt": "hi", "count": 4, "when": "1970-01-01T00:00:00.000Z", "here": True}
    assert (await output(client, record))[1] == "said by main\n"
    failing = "export function main() { throw new TypeError('no way') }"
    record = await script(client, "x.js", failing, env=node_first())
    assert (record.exit_code, record.result) == (1, None)
    said = (await output(client, record))[1]
    assert said.endswith("\nTypeError: no way\n")
    assert "javascript.mjs" not in said


async def test_an_exception_is_told_without_our_own_part_in_it(client: Client) -> None:
    record = await script(client, "x.py", "def main():\n    raise ValueError('bad\\x1b[31m')\n")
    assert (record.exit_code, record.result) == (1, None)
    said = (await output(client, record))[1]
    assert said.endswith("ValueError: bad\x1b[31m\n")
    assert said.count("File ") == 1
    assert "/x.py" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def main():\n    return object()", "main returned a object, which is not JSON"),
        ("def main():\n    return float('nan')", "not JSON compliant"),
        ("def main():\n    a = []; a.append(a); return a", "Circular reference"),
        ("main = lambda a, b: 1", "error: main: missing a required argument: 'a'"),
    ],
)
async def test_what_is_no_result_is_an_error_of_the_script(client: Client, text: str, said: str) -> None:
    record = await script(client, "x.py", text)
    assert (record.status, record.exit_code) == ("exited", 1)
    assert said in (await output(client, record))[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os\ndef main():\n    os.write(3, b'{}')\n    return 1", "is not one JSON document"),
        ("def main():\n    return 'x' * (1 << 20)", "is over 1 MiB"),
        ("def main():\n    a = []\n    for _ in range(100): a = [a]\n    return a", "is nested over 64 deep"),
        ("def main():\n    return '\\ud800'", "is not one JSON document"),
        ("def main():\n    return 10 ** 4000", ""),
    ],
)
async def test_what_nobody_should_take_for_a_result_is_none(client: Client, text: str, said: str) -> None:
    record = await script(client, "x.py", text)
    if said:
        assert (record.status, record.exit_code, record.result) == ("failed", 0, None)
        assert record.reason.startswith(f"result_invalid: the result {said}")
    else:
        assert record.result == 10**4000


async def test_what_a_script_is_given_is_not_for_it_to_change(client: Client) -> None:
    text = "import os\ndef main():\n    os.remove('/opt/given/script/python.py')\n"
    record = await script(client, "x.py", text)
    assert record.exit_code == 1
    assert "Read-only" in (await output(client, record))[1]


async def test_a_script_without_a_main_is_a_program(client: Client) -> None:
    record = await script(client, "x.py", "import sys\nprint('hi', __name__)\nsys.exit(4)")
    assert (record.exit_code, record.result) == (4, None)
    assert await output(client, record) == ("hi __main__\n", "")


async def test_what_cannot_be_is_refused_before_anything_starts(client: Client) -> None:
    before = len(await client.list_runs())
    refused: dict[str, dict[str, Any]] = {
        "argument_invalid": {},
        "script_invalid": {"script": {"name": "x.rb", "text": ""}},
        "session_invalid": {"session_id": "new", "args": {"user": "a"}},
        "agent_unknown": {"agent": "nobody", "args": {"user": "a"}},
        "volume_name_invalid": {"volumes": ["-$args[user]:/x"], "args": {"user": "a"}},
    }
    for code, values in refused.items():
        with pytest.raises(ServiceError) as error:
            await run(client, ["x"], **{"script": {"name": "x.py", "text": PYTHON}, **values})
        assert error.value.code == code
    assert len(await client.list_runs()) == before


@pytest.mark.parametrize(
    ("volumes", "said"),
    [
        ([f"v{n}:/v{n}" for n in range(11)], "at most 10 volumes"),
        (["state-$args[user]:/a", "state-ada:/b"], "volume 'state-ada' is asked for twice"),
        (["one:/a", "two:/a"], "two mounts overlap"),
    ],
)
async def test_volumes_are_judged_as_those_of_a_command(
    volumes: list[str], said: str, client: Client
) -> None:
    with pytest.raises(ServiceError) as refused:
        await script(client, "x.py", PYTHON, volumes=volumes, args={"user": "ada"})
    assert refused.value.code == "volume_invalid"
    assert said in refused.value.message


async def test_a_method_without_mounts_runs_scripts_too(tmp_path: Path) -> None:
    more = "[policy]\nneeds = []\n[methods.landlock]\nkind = 'landlock'\n"
    async with daemon(tmp_path / "d", more) as made, made.client() as client:
        text = "def main(a):\n    print('said')\n    return a\n"
        try:
            record = await script(client, "x.py", text, args={"a": [1]}, method="landlock")
        except ServiceError as error:
            need("landlock", error.code != "method_unavailable", error.message, error.hint)
            raise
        assert (record.exit_code, record.result) == (0, [1])
        record = await script(client, "x.sh", 'a="$1"; echo "$a"', args={"a": "b c"}, method="landlock")
        assert record.result == "b c"


async def test_with_an_agent_a_budget_is_held_or_refused(client: Client) -> None:
    values: dict[str, Any] = {"agent": "claude", "network": "none", "args": {"user": "a"}}
    with pytest.raises(ServiceError) as refused:
        await script(client, "x.py", PYTHON, budget_usd=1, **values)
    assert refused.value.code == "budget_unmetered"
    with pytest.raises(ServiceError) as refused:
        await run(client, ["x"], **values)  # a command has no use for one
    assert refused.value.code == "script_invalid"


async def test_typescript_runs_where_the_node_can(client: Client) -> None:
    need("clients", newest_node() is not None, "Node.js", "scripts/setup clients")
    text = "export async function main(prompt: string, n?: number) { return { prompt, n: n ?? 1 as number } }"
    record = await script(client, "x.ts", text, args={"prompt": "hi"}, env=node_first())
    if record.exit_code == 127 and not shutil.which("bun"):
        assert "cannot run TypeScript; it takes 22.6 or newer" in (await output(client, record))[1]
    else:
        assert record.result == {"prompt": "hi", "n": 1}


def test_the_guests_are_small() -> None:
    folder = Path(__file__).parents[2] / "daemon/hutch/scripts/guest"
    assert all(len(file.read_text().splitlines()) <= 130 for file in folder.glob("*.*"))
