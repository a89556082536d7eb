"""A repository that an agent has had its hands on, and a run that is to have a worktree of it."""

import os
import shutil
import subprocess
from pathlib import Path

import anyio
import pytest

from hutch_mcp_tools.service import ServiceError
from support.daemon import output
from support.streams import LONG_S
from support.workspace_house import House

_SECRET = "not yours"
_TRIES = "cat /workspace/* /workspace/.git/shallow; git -C /workspace log; echo x > /workspace/x; true"


@pytest.fixture
def private(here: House) -> Path:
    """A repository of the same user that is not granted."""
    here.repository()
    folder = here.folder.parent.parent / "private"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "f").write_text(_SECRET)
    subprocess.run(["chown", "-R", str(here.who.uid), str(folder)], check=True)
    here.git("init", "-q", "-b", "main", at=folder)
    here.git("add", "f", at=folder)
    here.git("commit", "-qm", _SECRET, at=folder)
    return folder


def picture(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def link(here: House, name: str, to: Path) -> None:
    """Put a link in the place of something in the repository."""
    path = here.folder / ".git" / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(to)


async def tried(here: House) -> str:
    """All that a run shows, or why there is none."""
    try:
        record = await here.run(_TRIES, "worktree")
    except ServiceError as error:
        return f"{error.code} {error.message}"
    return "\n".join([*await output(here.client, record), record.reason, str(record.workspace)])


@pytest.mark.parametrize("name", ["refs/heads", "refs", "refs/heads/main", "HEAD", "objects", "objects/pack"])
async def test_no_link_in_it_shows_another_repository(here: House, private: Path, name: str) -> None:
    here.git("repack", "-qad", at=private)
    if "objects" not in name:  # by which the other's commits would be found
        link(here, "objects/pack", private / ".git/objects/pack")
    link(here, name, private / ".git" / name)
    before = picture(private)
    said = await tried(here)
    assert _SECRET not in said
    assert "workspace_denied" in said
    assert picture(private) == before


async def test_no_borrowed_objects_and_no_loose_one_that_is_a_link(here: House, private: Path) -> None:
    commit = here.git("rev-parse", "HEAD", at=private).strip()
    (here.folder / ".git/refs/heads/main").write_text(f"{commit}\n")
    for file in (private / ".git/objects").glob("??/*"):
        to = here.folder / ".git/objects" / file.parent.name / file.name
        to.parent.mkdir(exist_ok=True)
        to.symlink_to(file)
    assert "has a link among its objects" in await tried(here)
    shutil.rmtree(here.folder / ".git/objects")
    here.write(".git/objects/info/alternates", f"{private}/.git/objects\n")
    assert "borrows objects" in await tried(here)
    link(here, "objects/info/alternates", here.folder / "alternates")
    here.write("alternates", f"{private}/.git/objects\n")
    assert "has a link among its objects" in await tried(here)


async def test_a_shallow_file_that_is_a_link_is_as_good_as_none(here: House, private: Path) -> None:
    link(here, "shallow", private / "f")
    said = await tried(here)
    assert _SECRET not in said
    assert "'branch': 'hutch-" in said


@pytest.mark.parametrize("name", ["refs/heads", "objects/pack"])
async def test_what_became_a_link_since_is_not_written_through(here: House, private: Path, name: str) -> None:
    """The repository may be another run's to write, meanwhile."""
    waits = "while [ -e /repository/objects/wait ]; do sleep 0.1; done; echo 2 > /workspace/f"
    here.write(".git/objects/wait")
    record = await here.client.run(here.request(waits, "worktree"), 0)
    with anyio.fail_after(LONG_S):
        while (await here.client.get_run(record.run_id)).status != "running":
            await anyio.sleep(0.02)
    before = picture(private)
    here.git("pack-refs", "--all")
    link(here, name, private / f".git/{name}")
    (here.folder / ".git/objects/wait").unlink()
    with pytest.raises(ServiceError) as refused:
        await here.client.get_run(record.run_id, 45)
    assert refused.value.code == "git_failed"
    assert picture(private) == before


async def test_a_tree_that_git_would_not_make_is_refused(here: House) -> None:
    here.repository()
    blob = here.git("hash-object", "-w", "README").strip()
    for name in (b".git", b"..", b".GIT", b"git~1"):
        inner = here.folder / "inner"
        inner.write_bytes(b"100755 config\0" + bytes.fromhex(blob))
        tree = here.git("hash-object", "-w", "--literally", "-t", "tree", "inner").strip()
        inner.write_bytes(b"40000 " + name + b"\0" + bytes.fromhex(tree))
        top = here.git("hash-object", "-w", "--literally", "-t", "tree", "inner").strip()
        inner.unlink()
        commit = here.git("commit-tree", top, "-m", "hostile").strip()
        (here.folder / ".git/refs/heads/main").write_text(f"{commit}\n")
        assert "git_failed" in await tried(here)


async def test_files_that_git_obeys_are_files_in_the_branch(here: House) -> None:
    here.repository()
    flag = here.folder.parent / "flag"
    flag.unlink(missing_ok=True)
    script = f"""cd /workspace; mkdir -p sub/.git/hooks
printf '#!/bin/sh\ntouch {flag}' > sub/.git/hooks/post-checkout
printf '* filter=x diff=x merge=x\n' > .gitattributes
git config filter.x.clean 'touch {flag}'; git config core.fsmonitor 'touch {flag}'
ln -s /etc/passwd .gitignore; ln -s /etc out; echo x > y; true"""
    record = await here.run(script, "worktree")
    assert record.exit_code == 0, await output(here.client, record)
    listed = here.git("ls-tree", "-r", str(record.workspace["branch"])).splitlines()
    assert [line.split()[0] for line in listed if line.endswith(("out", ".gitignore"))] == [
        "120000",
        "120000",
    ]
    assert not [line for line in listed if ".git/" in line]
    here.git("fsck", "--no-dangling")
    assert not os.path.lexists(flag)


@pytest.mark.parametrize("to", [".git", ".git/worktrees/app", ".git/objects"])
async def test_a_pointer_to_another_repository_shows_nothing_of_it(
    here: House, private: Path, to: str
) -> None:
    shutil.rmtree(here.folder / ".git")
    here.write(".git", f"gitdir: {private}/{to}\n")
    said = await tried(here)
    assert "workspace_denied" in said
    assert _SECRET not in said
