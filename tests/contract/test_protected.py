"""Protected paths of a workspace that a run may write: nothing can be planted, and nothing is left."""

import json
import os
from collections.abc import AsyncGenerator

import pytest

from hutch_launchers.contract.attacking import PROGRAMS, program_text, told
from hutch_launchers.contract.protected import make_repository, planted
from support.contract_cases import shows
from support.contract_column import ORDINARY_USER, ROOT_USER
from support.daemon import output, run
from support.workspace_house import House, house

pytestmark = pytest.mark.slow  # real sandboxes, by two users


@pytest.fixture(params=[ROOT_USER, ORDINARY_USER])
async def served(request: pytest.FixtureRequest) -> AsyncGenerator[House]:
    async with house(request.param) as made:
        make_repository(made.folder)
        for path in (made.folder, *made.folder.rglob("*")):
            os.chown(path, made.who.uid, made.who.uid, follow_symlinks=False)
        yield made


@shows("files/planted")
@shows("files/git")
@shows("files/no-stubs")
async def test_nothing_can_be_planted_and_git_works_and_nothing_is_left(served: House) -> None:
    before = served.listing()
    command = [
        "/usr/bin/python3",
        "-I",
        "-c",
        program_text(PROGRAMS["protected"]),
        json.dumps({"cases": None}),
    ]
    record = await run(
        served.client,
        command,
        workspace=f"{served.folder}:rw",
        env={"HUTCH_WORKSPACE": "/workspace"},
        timeout_s=50,
    )
    stdout, stderr = await output(served.client, record)
    tries, trouble = told(stdout)
    assert (record.exit_code, trouble) == (0, ""), stderr
    assert [str(one) for one in tries if one.verdict != "as it must be"] == []
    assert planted(served.folder) == ""
    left = {name for name in served.listing() if ".git/" not in name} - set(before)
    assert left <= {name for name in left if name.startswith(_WRITTEN)}
    assert (
        served.git("status", "--porcelain", "--", ".codex", ".agents", ".mcp.json", ".idea", ".husky") == ""
    )


_WRITTEN = ("new", "other-", "away-", "deep/file", "sub/file", "deep/er/file")  # by the allowed actions
