"""Workspaces: what is written in a folder of the host, and what the host would then run."""

import os

import anyio
import pytest

from hutch_mcp_tools.change_records import ApplyRequest
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.service import ServiceError
from support.contract_cases import shows
from support.contract_column import Column
from support.daemon import output, run
from support.workspace_house import GIT

pytestmark = pytest.mark.slow  # real sandboxes, by two users

_PLANT = """
for f in .claude .codex .agents .mcp.json .vscode .idea .envrc .husky .bashrc \\
    .git/config .git/commondir; do
  for t in "mkdir -p $f/x" "touch $f/x" "mv $f /tmp/moved" "ln -s /tmp $f" "rm -r $f" \\
      "cp /etc/hostname $f"; do
    $t 2>/dev/null && echo "$t"
  done
done
echo x 2>/dev/null > .git/hooks/pre-commit && echo hook
for k in core.hooksPath core.fsmonitor include.path; do git config $k /tmp 2>/dev/null && echo $k; done
mv .git elsewhere 2>/dev/null && echo moved
echo x 2>/dev/null > hard-link && echo hard-link
true
"""


async def _run(sandbox: Column, command: str, mode: str) -> tuple[RunRecord, str]:
    workspace = f"{sandbox.stage.workspace}:{mode}"
    record = await run(
        sandbox.client, command, workspace=workspace, cwd="/workspace", method=sandbox.method, env=GIT
    )
    out, err = await output(sandbox.client, record)
    assert record.exit_code == 0, (record, out, err)
    return record, out


@shows("files/planted")
async def test_nothing_is_planted_that_the_host_would_run(sandbox: Column) -> None:
    before = sorted(path.name for path in sandbox.stage.workspace.iterdir())
    _, out = await _run(sandbox, _PLANT, "rw")
    assert out == ""
    assert sorted(path.name for path in sandbox.stage.workspace.iterdir()) == before


@shows("files/git")
async def test_git_works_beside_protected_paths(sandbox: Column) -> None:
    init = [*sandbox.who.prefix, "git", "init", "-q", str(sandbox.stage.workspace)]
    await anyio.run_process(init, env={"PATH": os.environ["PATH"]})
    script = """set -e
echo x > tracked; git add tracked; git commit -qm one; git switch -qc topic; echo y > tracked
git stash -q; git stash pop -q; git commit -qam two; git switch -q -; git merge -q topic; git branch -d topic
git log --format=%s | head -2; git rm -q tracked; git commit -qm three"""
    _, out = await _run(sandbox, script, "rw")
    assert out.splitlines()[-2:] == ["two", "one"]


@shows("files/review")
async def test_a_review_leaves_the_folder_as_it_is_until_its_owner_applies(sandbox: Column) -> None:
    granted = sandbox.stage.workspace / "granted"
    record, _ = await _run(sandbox, "echo changed > granted; rm link-out; ln -s /etc out", "review")
    assert granted.read_text() == "granted\n"
    assert (sandbox.stage.workspace / "link-out").is_symlink()
    for request, code in (
        (ApplyRequest(id=record.run_id), "apply_denied"),
        (ApplyRequest(id=record.run_id, agreed=True), "change_refused"),
    ):
        with pytest.raises(ServiceError) as refused:
            await sandbox.client.apply_changes(request)
        assert refused.value.code == code
    assert granted.read_text() == "granted\n"
    await sandbox.client.discard_changes(record.run_id)
