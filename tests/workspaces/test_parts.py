"""A workspace that is a part of something: what the host obeys of the whole, it obeys in the part."""

from pathlib import Path

import pytest

from hutch.config.protected import PROTECTED
from hutch.workspaces.around import named_by_git, why_obeyed
from hutch.workspaces.look import look_over
from hutch_mcp_tools.change_records import ChangesRequest
from hutch_mcp_tools.service import ServiceError
from support.daemon import run
from support.workspace_house import House


@pytest.mark.parametrize(
    "part",
    [".git", ".git/hooks", ".git/refs/heads", ".vscode", "a/.claude/skills", ".hg", "bare", "bare/hooks",
     "bare/modules/x", "ops", "ops/deploy.sh", "tools/hooks", "tools/hooks/pre"],
)  # fmt: skip
def test_what_lies_in_a_protected_place_is_obeyed(tmp_path: Path, part: str) -> None:
    for name in ("HEAD", "objects", "refs"):
        (tmp_path / "bare" / name).mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_text("[core]\n\thooksPath = tools/hooks\n")
    (tmp_path / part).mkdir(parents=True, exist_ok=True)
    assert why_obeyed(tmp_path / part, [tmp_path], [*PROTECTED, "ops/deploy.sh"])


def test_what_lies_beside_it_is_not(tmp_path: Path) -> None:
    for name in ("bare/HEAD", "bare/objects", "bare/refs", "bare/main", "src/hooks", ".claude/worktrees/x"):
        (tmp_path / name).mkdir(parents=True)
    for part in (".", "bare/main", "src", "src/hooks"):
        assert why_obeyed(tmp_path / part, [tmp_path], PROTECTED) == ""
    granted = tmp_path / ".claude/worktrees"
    assert why_obeyed(granted / "x", [tmp_path], PROTECTED)
    assert why_obeyed(granted / "x", [tmp_path, granted], PROTECTED) == ""


def test_names_with_one_end_are_all_protected(tmp_path: Path) -> None:
    for name in ("web/deploy.sh", "api/deploy.sh", "in/api/deploy.sh", "other/deploy.sh"):
        (tmp_path / name).mkdir(parents=True)
    found = look_over(tmp_path, ["web/deploy.sh", "api/deploy.sh"])
    assert sorted(found.protected) == ["api/deploy.sh", "in/api/deploy.sh", "web/deploy.sh"]


def test_what_configuration_names_is_told_relative_to_the_workspace(tmp_path: Path) -> None:
    for home, hooks in ((tmp_path, "work/hooks"), (tmp_path / "work/inner", "own")):
        (home / ".git").mkdir(parents=True)
        (home / ".git/config").write_text(f"[core]\n\thooksPath = {hooks}\n")
    assert named_by_git(tmp_path / "work", ["file", "inner/a/b"]) == {"hooks", "inner/own"}


@pytest.mark.parametrize("mode", ["rw", "review"])
@pytest.mark.parametrize("part", [".git", ".git/hooks"])
async def test_a_part_of_gits_folder_is_refused(here: House, part: str, mode: str) -> None:
    here.repository()
    with pytest.raises(ServiceError) as refused:
        await run(here.client, "echo bad > pre-commit", workspace=f"{here.folder / part}:{mode}")
    assert refused.value.code == "workspace_denied"


async def test_hooks_that_a_repository_names_are_protected_in_its_parts(here: House) -> None:
    here.repository()
    here.git("config", "core.hooksPath", "sub/hooks")
    here.write("sub/hooks/pre-commit", "fine\n")
    here.write("inner/file")
    here.git("init", "-q", at=here.folder / "inner")
    here.git("config", "core.hooksPath", "hooks", at=here.folder / "inner")
    inner = here.write("inner/hooks/pre-commit", "fine\n")
    await run(here.client, "echo bad > hooks/pre-commit", workspace=f"{here.folder / 'sub'}:rw")
    await here.run("cd /workspace; echo bad > sub/hooks/pre-commit; echo bad > inner/hooks/pre-commit")
    assert (here.folder / "sub/hooks/pre-commit").read_text() == inner.read_text() == "fine\n"


async def test_under_review_they_need_consent(here: House) -> None:
    here.repository()
    here.git("config", "core.hooksPath", "tools")
    record = await here.run("cd /workspace; mkdir tools; echo bad > tools/pre-commit; echo x > y", "review")
    told = await here.client.get_changes(ChangesRequest(id=record.run_id))
    assert {each.path for each in told.changes if each.called_out} == {"tools/pre-commit"}
    await here.client.discard_changes(record.run_id)
