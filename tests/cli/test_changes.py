"""`hutch diff`, `apply`, `discard`, on a real daemon with a real sandbox."""

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from hutch.client import connect
from support.daemon import Daemon, daemon, run

pytestmark = pytest.mark.timeout(600)  # many programs, each of which has to load


class Place:
    """A workspace with changes that wait."""

    def __init__(self, folder: Path, made: Daemon, run_id: str) -> None:
        self.folder = folder
        self.run_id = run_id
        self.daemon = made
        self.config = made.folder / "config.toml"

    async def hutch(self, *words: str, code: int = 0) -> str:
        """Run the command line; returns what it wrote on stdout, and on stderr where it is refused."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "HUTCH_CONFIG": str(self.config)}
        command = [sys.executable, "-m", "hutch", *words]
        done = await anyio.run_process(command, env=env, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == code, done
        return (done.stderr if code else done.stdout).decode()

    async def told(self, *words: str) -> str:
        """What it says besides its result."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "HUTCH_CONFIG": str(self.config)}
        command = [sys.executable, "-m", "hutch", *words]
        done = await anyio.run_process(command, env=env, stdin=subprocess.DEVNULL)
        return done.stderr.decode()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncGenerator[Place]:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "a").write_text("".join(f"{n}\n" for n in range(30)))
    (folder / "gone").write_text("gone\n")
    async with daemon(tmp_path / "d", f'[policy]\nworkspaces = ["{folder}"]\n[principals.ci]\n') as made:
        async with made.client() as client:
            command = "sed -i 's/^2$/two/; s/^27$/last/' a; rm gone; echo x > .envrc; printf '\\0' > binary"
            record = await run(client, command, workspace=f"{folder}:review")
            assert record.exit_code == 0, record
        yield Place(folder, made, record.run_id)


async def test_changes_are_shown_taken_in_parts_and_thrown_away(place: Place) -> None:
    shown = await place.hutch("diff", place.run_id)
    assert "-2\n+two\n" in shown
    assert re.findall(r"^@@ .* @@ hunk (\d)$", shown.partition("--- a/gone")[0], re.MULTILINE) == ["1", "2"]
    patch = "".join(line for line in shown.splitlines(keepends=True) if not line.startswith("A "))
    checked = ["git", "apply", "--check", "-"]
    await anyio.run_process(checked, input=patch.encode(), cwd=place.folder)
    assert "--- a/gone\n+++ /dev/null" in shown
    assert "A .envrc  (an agent, an editor, a hook or a shell would obey it)" in shown
    assert "A binary  (binary)" in shown
    stat = await place.hutch("diff", place.run_id, "--stat")
    assert stat.splitlines()[1].startswith("M a  4 ")
    told = json.loads(await place.hutch("diff", place.run_id, "a", "--json"))
    assert [(each["path"], each["hunks"]) for each in told["changes"]] == [("a", 2)]

    listed = json.loads(await place.hutch("diff", "--json"))
    assert [(each["review"], each["changes"]) for each in listed] == [(place.run_id, len(stat.splitlines()))]
    said = await place.hutch("show", place.run_id)
    assert f"{place.folder}:review, 4 changes, to review: hutch diff {place.run_id}" in said
    assert re.search(rf"{place.run_id} +4 +\d+ KiB", await place.hutch("diff"))

    assert "change_called_out" in await place.hutch("apply", place.run_id, code=1)
    assert await place.hutch("apply", place.run_id, "--hunk", "a:2") == "M a\n"
    assert "27\n" not in (place.folder / "a").read_text()
    assert "\n2\n" in (place.folder / "a").read_text()
    assert await place.hutch("apply", place.run_id, "gone", "binary") == "A binary\nD gone\n"
    assert f"4 changes, 2 to review: hutch diff {place.run_id}" in await place.hutch("show", place.run_id)
    assert "nothing has waited so long" in await place.told("discard", "--older-than", "1h")
    assert place.run_id in await place.told("discard", "--older-than", "1s")
    assert sorted(path.name for path in place.folder.iterdir()) == ["a", "binary"]
    assert "4 changes, none waits any more" in await place.hutch("show", place.run_id)
    assert "changes_unknown" in await place.hutch("diff", place.run_id, code=1)
    assert json.loads(await place.hutch("diff", "--json")) == []


async def test_what_waits_of_others_is_not_listed(place: Place) -> None:
    async with place.daemon.client() as owner:
        token = (await owner.create_token("ci")).token
        assert [each.review for each in await owner.list_reviews()] == [place.run_id]
    async with connect(place.daemon.config, token=token) as ci:
        assert await ci.list_reviews() == []


async def test_a_refusal_tells_of_a_configuration_that_the_daemon_has_not_read(place: Place) -> None:
    unread = "the configuration from before its last change: hutch stop --daemon"
    denied = ("run", "--net", "nowhere", "--", "true")
    assert unread not in await place.hutch(*denied, code=1)
    place.config.write_text(f"{place.config.read_text()}# more\n")
    assert unread in await place.hutch(*denied, code=1)
    assert unread not in await place.hutch("diff", "r-none", code=1)  # of which no configuration knows


async def test_a_session_tells_its_workspace(place: Place) -> None:
    async with place.daemon.client() as client:
        folder = f"{place.folder}:review"
        record = await run(client, "touch /workspace/new", session_id="new", workspace=folder)
        await client.stop_session(record.session_id or "")
    said = await place.hutch("show", record.session_id or "")
    assert f"{place.folder}:review, 1 change, to review: hutch diff {record.session_id}" in said


async def test_a_hunk_has_its_form(place: Place) -> None:
    assert "is not a hunk" in await place.hutch("apply", place.run_id, "--hunk", "a", code=2)


async def test_a_run_says_where_its_changes_wait(place: Place) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(place.folder), "HUTCH_CONFIG": str(place.config)}
    command = [sys.executable, "-m", "hutch", "run", "-w", f"{place.folder}:review", "--", "touch", "x"]
    done = await anyio.run_process(command, env=env, stdin=subprocess.DEVNULL, cwd=place.folder)
    assert "1 change waits: hutch diff r-" in done.stderr.decode()
