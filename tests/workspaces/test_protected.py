"""A writable workspace in which nothing can be planted that the host would run, in real sandboxes."""

import os
import signal
import socket
import stat
import subprocess

import anyio
import pytest

from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from support.streams import LONG_S
from support.workspace_house import House, house

PLANT = """
try() { "$@" 2>/dev/null && echo "DONE $*"; }
cd /workspace
for f in %s; do
  try mkdir -p $f/x; try touch $f/x; try sh -c "echo bad > $f"; try ln -s /tmp $f
  try mv $f /tmp/gone; try rmdir $f; try rm -r $f
done
true
"""


async def test_what_did_not_exist_cannot_be_planted_and_nothing_is_left(here: House) -> None:
    here.repository()
    before, status = here.listing(), here.git("status", "--porcelain", "--ignored")
    names = (
        ".claude .codex .agents .mcp.json .vscode .idea .envrc .husky .bashrc .zshrc .git/hooks/pre-commit"
    )
    names += " .git/config.worktree .git/commondir .git/config"
    assert await here.out(PLANT % names) == ""
    assert here.listing() == before
    assert here.git("status", "--porcelain", "--ignored") == status


async def test_what_exists_at_any_depth_stays_as_it_is(here: House) -> None:
    here.repository()
    here.write("a/b/.claude/settings.json", "{}")
    here.write("sub/.vscode/tasks.json", "{}")
    here.write(".envrc", "echo fine\n")
    before = here.listing()
    tries = """
cd /workspace
try() { "$@" 2>/dev/null && echo "DONE $*"; }
try sh -c 'echo bad > .envrc'; try rm -rf a; try mv a c; try mv a/b a/c; try mv sub x
try sh -c 'echo bad > a/b/.claude/settings.json'; try touch sub/.vscode/x; try ln -f .envrc y
echo more > a/b/file; rm a/b/file; true
"""
    assert await here.out(tries) == ""
    assert here.listing() == before
    assert (here.folder / ".envrc").read_text() == "echo fine\n"


async def test_git_works_inside(here: House) -> None:
    here.repository()
    await here.out(
        """set -e; cd /workspace
echo two > README; git add README; git commit -qm two
git branch topic; git switch -q topic; echo three > new; git add new; git commit -qm three
echo four >> new; git stash -q; git stash pop -q; git checkout -q -- new
git switch -q main; echo x > other; git add other; git commit -qm side; git merge -q topic -m merged
git tag v1; git log --oneline | wc -l; git worktree add -q wt; git gc -q
test -z "$(git status --porcelain | grep -v wt)" """
    )
    assert here.git("log", "--format=%s", "-1") == "merged\n"
    assert here.git("fsck", "--no-dangling") == ""
    assert not (here.folder / ".git/commondir").exists()


async def test_configuration_that_git_obeys_is_refused(here: House) -> None:
    here.repository()
    config = here.folder / ".git/config"
    config.write_text(config.read_text() + "[include]\n\tpath = ../shared.cfg\n")
    here.write("shared.cfg", "[user]\n\tname = x\n")
    tries = """cd /workspace
git config core.hooksPath /tmp && echo DONE
git config core.fsmonitor /tmp/x && echo DONE
git config include.path ../evil && echo DONE
git config -f shared.cfg core.fsmonitor /tmp/x && echo DONE
mv .git .git2 && echo DONE; rm -rf .git/hooks && echo DONE
true"""
    before = (here.folder / ".git/config").read_text()
    assert await here.out(tries) == ""
    assert (here.folder / ".git/config").read_text() == before


async def test_a_submodules_hooks_are_protected(here: House) -> None:
    here.repository()
    here.git("init", "-q", "--bare", ".git/modules/sub", at=here.folder)
    here.write("sub/.git", "gitdir: ../.git/modules/sub\n")
    tries = """cd /workspace
echo bad > .git/modules/sub/hooks/post-checkout && echo DONE
echo bad >> .git/modules/sub/config && echo DONE; mv .git/modules x && echo DONE
echo 'gitdir: /tmp' > sub/.git && echo DONE; rm -f sub/.git && echo DONE; mv sub x && echo DONE
true"""
    assert await here.out(tries) == ""


@pytest.mark.parametrize("made", ["nothing", "modules", "modules/sub/objects"])
async def test_a_submodule_that_is_not_whole_cannot_be_completed(here: House, made: str) -> None:
    here.repository()
    if made != "nothing":
        here.write(f".git/{made}/x")
    here.write("sub/.git", "gitdir: ../.git/modules/sub\n")
    before = here.listing()
    tries = """cd /workspace; m=.git/modules/sub
mkdir -p $m/hooks $m/refs $m/objects; echo ref: refs/heads/main > $m/HEAD
echo '[core] fsmonitor = /tmp/x' > $m/config && echo DONE
echo bad > $m/hooks/pre-commit && echo DONE; true"""
    assert await here.out(f"{{ {tries}\n}} 2>/dev/null") == ""
    subprocess.run(["rm", "-rf", *map(str, here.folder.glob(".git/modules/sub/[rHo]*"))], check=True)
    assert [path for path in here.listing() if path not in before] == []


async def test_what_configuration_names_and_is_not_there_cannot_be_made(here: House) -> None:
    here.repository()
    here.git("config", "core.hooksPath", "scripts/hooks")
    here.git("config", "include.path", "../more.cfg")
    here.git("config", "filter.x.clean", "./tools/clean %f")
    here.git("config", "core.editor", "vim")
    before, status = here.listing(), here.git("status", "--porcelain")
    tries = """cd /workspace; mkdir -p scripts/hooks tools
echo bad > scripts/hooks/pre-commit && echo DONE; echo bad > more.cfg && echo DONE
echo bad > tools/clean && echo DONE; ls vim && echo DONE; git status > /tmp/s
git commit -qm x --allow-empty; true"""
    assert await here.out(f"{{ {tries}\n}} 2>/dev/null") == ""
    assert [path for path in here.listing() if ".git/" not in path] == [
        path for path in before if ".git/" not in path
    ]
    assert here.git("status", "--porcelain") == status


async def test_a_linked_worktree_works_and_its_repository_is_protected(here: House) -> None:
    here.repository()
    linked = here.folder.parent / "linked"
    here.git("worktree", "add", "-q", str(linked))
    try:
        common = here.folder / ".git"
        script = f"""cd /workspace; set -e
git status --short; echo x > x; git add x; git commit -qm linked
! {{ echo bad > {common}/hooks/x; }} 2>/dev/null
! {{ echo bad > {common}/worktrees/linked/commondir; }} 2>/dev/null
! {{ echo bad >> {common}/config; }} 2>/dev/null
! {{ echo bad > .git; }} 2>/dev/null
! ls {here.folder}/README 2>/dev/null"""
        record = await here.client.run(RunRequest(command="true"), 45)
        assert record.exit_code == 0
        from support.daemon import output, run
        from support.workspace_house import GIT

        record = await run(here.client, script, workspace=f"{linked}:rw", env=GIT)
        assert record.exit_code == 0, await output(here.client, record)
        assert here.git("log", "-1", "--format=%s", "linked") == "linked\n"
    finally:
        here.git("worktree", "remove", "--force", str(linked))


async def test_a_pointer_that_an_agent_wrote_mounts_nothing(here: House) -> None:
    secret = here.folder.parent / "secret"
    secret.mkdir(exist_ok=True)
    os.chown(secret, here.who.uid, here.who.uid)
    here.git("init", "-q", at=secret)
    here.write(".git", f"gitdir: {secret}/.git/worktrees/app\n")
    assert await here.out(f"ls {secret} 2>/dev/null || true") == ""


async def test_what_appears_in_a_new_folder_is_told(here: House) -> None:
    record = await here.run(
        "mkdir -p new/.claude new/.git/hooks; echo x > new/.claude/settings.json; echo y > plain"
    )
    assert record.workspace["would_run_on_host"] == [
        "new/.claude", "new/.claude/settings.json", "new/.git", "new/.git/hooks"
    ]  # fmt: skip
    assert record.workspace["mode"] == "rw"
    assert "A plain" in record.workspace["changed"]  # type: ignore[operator]


async def test_a_hard_link_to_the_outside_is_not_written_through(here: House) -> None:
    outside = here.folder.parent / "outside"
    outside.write_text("as it was")
    os.chown(outside, here.who.uid, here.who.uid)
    (here.folder / "linked").hardlink_to(outside)
    try:
        assert (
            await here.out("cd /workspace; { echo bad > linked; } 2>/dev/null || true; rm -f linked || true")
            == ""
        )
        assert outside.read_text() == "as it was"
    finally:
        outside.unlink()


@pytest.mark.parametrize("mode", ["ro", "rw"])
async def test_sockets_and_fifos_of_the_host_are_out_of_reach(here: House, mode: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(here.folder / "s.sock"))
        server.listen()
        (here.folder / "s.sock").chmod(0o777)
        os.mkfifo(here.folder / "pipe", 0o666)
        script = """python3 - <<'END'
import os, socket, stat
try:
    socket.socket(socket.AF_UNIX).connect('/workspace/s.sock'); print('CONNECTED')
except OSError: pass
print(stat.S_ISFIFO(os.lstat('/workspace/pipe').st_mode))
END"""
        assert await here.out(script, mode) == "False\n"
        assert stat.S_ISSOCK((here.folder / "s.sock").lstat().st_mode)


async def test_a_protected_link_is_refused(here: House) -> None:
    (here.folder / ".claude").symlink_to("elsewhere")
    with pytest.raises(ServiceError) as refused:
        await here.run("true")
    assert refused.value.code == "workspace_denied"
    assert "review" in refused.value.hint


async def test_two_runs_in_one_workspace_protect_each_other(here: House) -> None:
    before = here.listing()
    first = await here.client.run(
        RunRequest(command="while [ ! -e go ]; do sleep 0.02; done; mkdir .claude/x && echo DONE; true",
                   workspace=f"{here.folder}:rw", cwd="/workspace"), 0)  # fmt: skip
    with anyio.fail_after(LONG_S):
        while (await here.client.get_run(first.run_id)).status != "running":
            await anyio.sleep(0.02)
        assert await here.out("echo second") == "second\n"
        assert (here.folder / ".claude").is_dir()  # the first run's still
        await here.out("touch /workspace/go")
        ended = await here.client.get_run(first.run_id, 45)
    assert ended.exit_code == 0
    (here.folder / "go").unlink()
    assert here.listing() == before


async def test_after_kill_9_the_next_daemon_cleans_up(here: House) -> None:
    here.repository()
    here.write("kept/.claude/settings.json", "{}")
    (here.folder / ".vscode").mkdir()  # an empty folder of the user's own
    before = here.listing()
    run = await here.client.run(here.request("sleep 60"), 0)
    with anyio.fail_after(LONG_S):
        while (await here.client.get_run(run.run_id)).status != "running":
            await anyio.sleep(0.02)
    assert (here.folder / ".claude").is_dir()
    await here.daemon.restart(signal.SIGKILL)
    assert here.listing() == before


async def test_a_workspace_that_holds_the_daemons_state_is_refused(served: House) -> None:
    async with house(served.who.name, "") as other:
        config = other.daemon.folder / "config.toml"
        config.write_text(
            config.read_text().replace(str(other.folder.parent), str(other.daemon.folder.parent))
        )
        await other.daemon.restart()
        for folder in (other.daemon.folder.parent, other.state / "runs"):
            with pytest.raises(ServiceError) as refused:
                async with other.daemon.client() as client:
                    await client.run(RunRequest(command="true", workspace=str(folder)), 45)
            assert refused.value.code == "workspace_denied"
