"""Steps that follow each other: what one run left is what the next one sees; a shell puts them together."""

import json
import os
import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from support.daemon import Daemon, daemon, model_config, output, run, scripted_model
from support.program import environment, hutch, program

ROOT = Path(__file__).parents[2]
KEY = {"ANTHROPIC_API_KEY": "sk-planted-canary"}
PROGRAM = "def add(a, b):\n    return a + b\n"
TESTS = "import sums, unittest\nclass T(unittest.TestCase):\n    def test_add(self):\n        "


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Daemon]:
    folder = tmp_path_factory.mktemp("steps")
    async with scripted_model() as url, daemon(folder / "d", model_config(url), env=KEY) as made:
        yield made


@pytest.fixture
async def client(served: Daemon) -> AsyncGenerator[Client]:
    async with served.client() as connected:
        yield connected


async def wrote(client: Client, volume: str, text: str) -> str:
    """The id of a run that wrote a text into a volume."""
    record = await run(client, f"echo {text} >/out/x", volumes=[f"{volume}:/out"])
    assert record.exit_code == 0
    return record.run_id


async def seen(client: Client, volume: str) -> str:
    return (await output(client, await run(client, "cat /in/x", volumes=[volume])))[0]


async def test_a_step_sees_what_a_run_left_whoever_wrote_since(client: Client) -> None:
    one = await wrote(client, "pages", "one")
    two = await wrote(client, "pages", "two")
    assert await seen(client, "pages:/in:ro") == "two\n"
    assert await seen(client, f"pages@{one}:/in:ro") == "one\n"
    assert await seen(client, f"@{one}:/in:ro") == "one\n"
    assert await seen(client, f"@{two}:/in:ro") == "two\n"
    assert await seen(client, f"again=@{one}:/in") == "one\n"
    assert await seen(client, f"more=pages@{two}:/in") == "two\n"


async def test_a_run_that_changed_nothing_left_what_was_there(client: Client) -> None:
    await wrote(client, "calm", "one")
    idle = await run(client, "true", volumes=["calm"])
    await wrote(client, "calm", "two")
    record = await run(client, "cat /in/x", volumes=[f"calm@{idle.run_id}:/in:ro"])
    assert await output(client, record) == ("one\n", "")
    assert record.volumes == ["calm@1:/in:ro"]


async def test_what_no_run_left_is_refused(client: Client) -> None:
    one = await wrote(client, "alone", "one")
    both = (await run(client, "touch /a/x", volumes=["a1:/a", "b1:/b"])).run_id
    working = await client.run(RunRequest(command="sleep 60", volumes=["busy1:/x"]), 0)
    for volume, code, said in (
        (f"@{both}:/in:ro", "volume_invalid", f"run {both} wrote a1, b1"),
        (f"other@{one}:/in:ro", "volume_invalid", f"run {one} did not write volume 'other'"),
        ("@r-aaaaaaaaaa:/in:ro", "run_unknown", "no run is called"),
        ("@r-unknown:/in:ro", "run_unknown", "no run is called 'r-unknown'"),
        ("alone@r-unknown:/in:ro", "tag_unknown", "volume 'alone' has no tag 'r-unknown'"),
        (f"@{one}:/in", "volume_invalid", "volume 'alone' at 1 is the past"),
        (f"@{working.run_id}:/in:ro", "run_unfinished", "is at work still"),
    ):
        with pytest.raises(ServiceError) as refused:
            await run(client, "true", volumes=[volume])
        assert refused.value.code == code
        assert said in refused.value.message
    await client.stop_run(working.run_id, 0)


async def test_ids_and_codes_are_a_shells_to_use(served: Daemon, client: Client) -> None:
    done = await hutch(served, "run", "--print-id", "--", "sh", "-c", "echo said; exit 7")
    assert done.code == 7
    assert "said\n" in done.stderr
    assert re.fullmatch(r"r-[a-z0-9]{10}\n", done.stdout)
    assert (await client.get_run(done.stdout.strip())).exit_code == 7


async def test_a_script_takes_what_a_run_left(served: Daemon, client: Client, tmp_path: Path) -> None:
    one = await wrote(client, "left", "one")
    path = tmp_path / "read.py"
    path.write_text("# volume: seen seen\ndef main():\n    return open('/in/x').read()\n")
    done = await hutch(served, "run", path, "-v", f"@{one}:/in:ro")
    assert done.stdout == '"one\\n"\n'


@pytest.mark.slow
@pytest.mark.timeout(600)  # four programs and an agent, on a machine that does much else
@pytest.mark.parametrize(
    ("says", "passed"), [("self.assertEqual(sums.add(1, 2), 3)", True), ("self.fail()", False)]
)
async def test_the_example_of_three_steps_works(
    says: str, passed: bool, served: Daemon, tmp_path: Path
) -> None:
    steps = [
        {"write": "/workspace/sums.py", "content": PROGRAM},
        {"write": "/workspace/test_sums.py", "content": f"{TESTS}{says}\n"},
        {"text": "There it is."},
    ]
    (tmp_path / "hutch").write_text(f'#!/bin/sh\nexec {sys.executable} -m hutch "$@"\n')
    (tmp_path / "hutch").chmod(0o755)
    env = {**environment(served), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [
        "sh",
        str(ROOT / "examples/steps/steps.sh"),
        f"sums-{passed}".lower(),
        f"Write it. SCRIPT: {json.dumps(steps)}",
    ]
    done = await program(command, env)
    assert done.code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["files"] == {"sums.py": 2, "test_sums.py": 4}
    assert (report["tests"], report["passed"]) == (1, passed)
    assert ("steps: the tests ended with 1" in done.stderr) is not passed
    assert "There it is." in done.stderr  # the agent's story
