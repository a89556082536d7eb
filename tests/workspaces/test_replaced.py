"""A run in a writable workspace ends when somebody of the host replaces what is protected there."""

import anyio
import pytest

from hutch_mcp_tools.run_records import RunRecord, RunRequest
from support.streams import LONG_S
from support.workspace_house import House


async def running(here: House, request: RunRequest) -> RunRecord:
    record = await here.client.run(request, 0)
    with anyio.fail_after(LONG_S):
        while record.status != "running":
            record = await here.client.get_run(record.run_id)
            await anyio.sleep(0.02)
    return record


@pytest.mark.parametrize("kept", [False, True])
async def test_a_run_ends_when_the_host_replaces_a_protected_file(here: House, *, kept: bool) -> None:
    here.repository()
    here.write(".mcp.json", "{}")
    tries = "while :; do echo bad >> .mcp.json; touch tried; sleep 5; done 2>/dev/null"
    request = RunRequest(
        command=tries,
        workspace=f"{here.folder}:rw",
        cwd="/workspace",
        session_id="new" if kept else None,
    )
    record = await running(here, request)
    with anyio.fail_after(LONG_S):
        while not (here.folder / "tried").exists():
            await anyio.sleep(0.01)
    here.write("fresh").rename(here.folder / ".mcp.json")  # as an editor saves
    ended = await here.client.get_run(record.run_id, 45)
    assert ended.status == "cancelled", ended
    assert ".mcp.json was replaced on the host" in ended.reason
    assert ended.workspace["would_run_on_host"] == [".mcp.json"]
    assert (here.folder / ".mcp.json").read_text() == ""
    with anyio.fail_after(LONG_S):
        # The last placeholders go with the kept sandbox
        while any((here.folder / name).exists() for name in (".claude", ".zshrc")):
            await anyio.sleep(0.02)


async def test_a_run_ends_when_the_host_takes_away_a_placeholder(here: House) -> None:
    here.repository()
    waits = "while ! mkdir .claude/x; do sleep 0.1; done 2>/dev/null"
    request = RunRequest(command=waits, workspace=f"{here.folder}:rw", cwd="/workspace")
    record = await running(here, request)
    (here.folder / ".claude").rmdir()
    ended = await here.client.get_run(record.run_id, 45)
    assert ended.status == "cancelled", ended
    assert not (here.folder / ".claude").exists()


async def test_what_a_sandbox_does_beside_protected_paths_ends_nothing(here: House) -> None:
    here.repository()
    assert await here.out("""cd /workspace
python3 -c 'import os
for n in range(10000): os.close(os.open("f%d" % n, os.O_CREAT)); os.rename("f%d" % n, "g"); os.remove("g")'
mv .claude x; rm -rf .git/config .claude .mcp.json; mv g .git/config; true""") == ""  # fmt: skip
