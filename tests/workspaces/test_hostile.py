"""Workspaces as an attacker leaves them, and what a repository says of itself, in real sandboxes."""

import os
import socket
import stat

import pytest

from hutch_mcp_tools.change_records import ApplyRequest, ChangesRequest
from hutch_mcp_tools.service import ServiceError
from support.contract_column import ROOT_USER
from support.workspace_house import House, house


async def test_a_repository_protects_more_of_itself(here: House) -> None:
    here.write(".hutch.toml", 'protected = ["deploy.sh", "ops/run"]')
    here.write("sub/deploy.sh", "fine")
    here.write("ops/other")
    script = """cd /workspace
{ echo bad > deploy.sh; echo bad > sub/deploy.sh; echo bad > ops/run; mv sub x; mv ops y; } 2>/dev/null
true"""
    before = here.listing()
    record = await here.run(script)
    assert record.exit_code == 0
    assert here.listing() == before
    assert (here.folder / "sub/deploy.sh").read_text() == "fine"
    assert any("protected deploy.sh" in line for line in record.policy["narrowed"])  # type: ignore[attr-defined]


async def test_what_a_repository_protects_is_called_out_in_a_review(here: House) -> None:
    here.write(".hutch.toml", 'protected = ["deploy.sh"]')
    record = await here.run("echo bad > deploy.sh; rm .hutch.toml", "review")
    found = await here.client.get_changes(ChangesRequest(id=record.run_id))
    assert [change.path for change in found.changes if change.called_out] == ["deploy.sh"]
    with pytest.raises(ServiceError) as refused:
        await here.client.apply_changes(ApplyRequest(id=record.run_id, agreed=True))
    assert refused.value.code == "change_called_out"
    await here.client.discard_changes(record.run_id)


async def test_what_is_denied_is_hidden_and_no_checkout_is_made_of_it(here: House) -> None:
    here.repository()
    here.write("secrets/key", "hidden")
    here.write("kept", "x")
    here.git("add", "kept", "secrets/key")
    here.git("commit", "-qm", "with a secret")
    here.write(".hutch.toml", 'denied = [".env", "secrets"]')
    here.write(".env", "hidden")
    with pytest.raises(ServiceError) as refused:
        await here.run("true", "worktree")
    assert refused.value.code == "path_denied"
    for mode in ("review", "ro", "rw"):
        assert await here.out("cd /workspace; cat .env secrets/key 2>/dev/null; true", mode) == ""


@pytest.mark.parametrize("what", ["sparse", "many", "names", "locked"])
async def test_a_review_of_a_hostile_tree_is_told(here: House, what: str) -> None:
    script = {
        "sparse": "truncate -s 900G huge",
        "many": "python3 -c 'import os; [os.close(os.open(str(n), os.O_CREAT)) for n in range(300)]'",
        "names": r"""python3 -c 'import os
for name in (b"a\nb", b"\x1b]0;x\x07", b"\xff\xfe", b"-rf", b"\xe2\x80\xae"): open(name, "w").close()'""",
        "locked": "mkdir -p a/b; echo x > a/b/c; chmod 0 a/b/c a/b a",
    }[what]
    record = await here.run(script, "review")
    assert record.exit_code == 0, record
    found = await here.client.get_changes(ChangesRequest(id=record.run_id, patch=True))
    assert len(found.changes) > 0
    if what in ("names", "many"):
        done = await here.client.apply_changes(
            ApplyRequest(id=record.run_id, agreed=True, include_executable=True)
        )
        assert len(done.applied) in (5, 300)
        assert len(list(here.folder.iterdir())) == len(done.applied)
    else:
        await here.client.discard_changes(record.run_id)
        assert here.listing() == []


async def test_marks_of_an_overlay_that_a_sandbox_makes_itself_mean_nothing(here: House) -> None:
    here.write("d/a", "1")
    here.write("b", "2")
    script = """python3 - <<'END'
import os, stat
os.chdir("/workspace")
for call in (lambda: os.mknod("white", stat.S_IFCHR, os.makedev(0, 0)),
             lambda: os.setxattr("d", "user.overlay.opaque", b"y"),
             lambda: os.setxattr("d", "trusted.overlay.opaque", b"y"),
             lambda: os.setxattr("b", "user.overlay.redirect", b"/etc"),
             lambda: os.setxattr("b", "user.overlay.whiteout", b"y"),
             lambda: os.mkfifo("pipe"),
             lambda: os.link("b", "hard")):
    try: call()
    except OSError: pass
END"""
    record = await here.run(script, "review")
    assert record.exit_code == 0, record
    found = await here.client.get_changes(ChangesRequest(id=record.run_id))
    told = {f"{change.kind} {change.path}" for change in found.changes}
    assert told <= {"A white", "A pipe", "A hard", "M d", "M b"}
    assert (here.folder / "d/a").read_text() == "1"
    await here.client.discard_changes(record.run_id)


async def test_a_folder_that_became_a_link_before_it_is_applied_leads_nowhere(here: House) -> None:
    here.write("d/a", "1")
    outside = here.folder.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "a").write_text("theirs")
    record = await here.run("echo 2 > d/a; echo n > d/n", "review")
    (here.folder / "d").rename(here.folder / "e")
    (here.folder / "d").symlink_to(outside)
    with pytest.raises(ServiceError):
        await here.client.apply_changes(ApplyRequest(id=record.run_id, agreed=True))
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"a": "theirs"}
    assert not [name for name in here.listing() if name.startswith(".hutch-apply")]
    await here.client.discard_changes(record.run_id)


@pytest.mark.parametrize("kind", ["link", "fifo", "huge", "deep", "endless"])
async def test_a_repositorys_word_that_cannot_be_read_starts_nothing(here: House, kind: str) -> None:
    place = here.folder / ".hutch.toml"
    if kind == "link":
        place.symlink_to("/etc/hostname")
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "endless":
        place.symlink_to("/dev/zero")
    else:
        place.write_text("#" * 70_000 if kind == "huge" else "a = " + "[" * 30_000 + "]" * 30_000)
    with pytest.raises(ServiceError) as refused:
        await here.run("true", "ro")
    assert refused.value.code == "repository_file_invalid"


async def test_a_method_that_cannot_cover_a_socket_refuses_the_workspace() -> None:
    more = 'method = "landlock"\nneeds = ["filesystem", "network"]\n[methods.landlock]'
    async with house(ROOT_USER, more) as made:
        assert await made.out("echo works", "ro") == "works\n"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(made.folder / "s.sock"))
            for name in ("s.sock", "pipe", "node"):
                if name == "pipe":
                    os.mkfifo(made.folder / name)
                elif name == "node":
                    os.mknod(made.folder / name, stat.S_IFCHR | 0o666, os.makedev(1, 3))
                for mode in ("ro", "rw"):
                    with pytest.raises(ServiceError) as refused:
                        await made.run("true", mode)
                    assert refused.value.code == "guarantee_missing"
                (made.folder / name).unlink()
