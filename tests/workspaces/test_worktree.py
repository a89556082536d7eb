"""A run has a checkout of its own, and what it wrote becomes a branch; git obeys nobody on the way."""

import signal
import subprocess
from collections.abc import AsyncGenerator

import pytest

from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from support.contract_column import ORDINARY_USER, ROOT_USER
from support.daemon import output
from support.workspace_house import House, house


@pytest.fixture(params=[ROOT_USER, ORDINARY_USER], scope="module")
async def served(request: pytest.FixtureRequest) -> AsyncGenerator[House]:
    async with house(request.param) as made:
        yield made


@pytest.fixture
def here(served: House) -> House:
    subprocess.run(["find", str(served.folder), "-mindepth", "1", "-delete"], check=True)
    served.repository()
    return served


async def test_what_was_written_becomes_a_branch_and_the_working_tree_stays(here: House) -> None:
    here.write("src/a b.txt", "a\n")
    here.write(".gitignore", "*.o\n")
    here.write("run", "#!/bin/sh\n")
    here.git("add", ".")
    here.git("commit", "-qm", "two")
    here.write("README", "not committed\n")
    status = here.git("status", "--porcelain")
    record = await here.run(
        """set -e; cd /workspace; test "$(cat README)" = one; git log --oneline | wc -l; git status --short
echo b >> 'src/a b.txt'; rm run; mkdir -p new; echo n > new/n; chmod +x new/n; ln -s n new/link; echo o > x.o
git add -A; git commit -qm inside; echo later > later""",
        "worktree",
    )
    assert record.exit_code == 0, await output(here.client, record)
    assert (await output(here.client, record))[0] == "2\n"
    branch = record.workspace["branch"]
    assert branch == f"hutch-{record.run_id}"
    shown = here.git("diff", "--name-status", "HEAD", str(branch)).splitlines()
    assert shown == ["A\tlater", "A\tnew/link", "A\tnew/n", "D\trun", "M\tsrc/a b.txt"]
    assert record.workspace["changed"] == ["A later", "A new/link", "A new/n", "D run", "M src/a b.txt"]
    assert here.git("ls-tree", str(branch), "new/").split()[0::4] == ["120000", "100755"]
    assert here.git("log", "--format=%s", "-1", str(branch)) == f"What {record.run_id} did\n"
    assert here.git("status", "--porcelain") == status
    here.git("fsck", "--no-dangling")
    here.git("switch", "-qf", str(branch))
    assert not list((here.state / "worktrees").iterdir())


async def test_nothing_of_the_workspace_or_of_the_sandbox_runs_on_the_host(here: House) -> None:
    hooks = here.folder / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    flag = here.folder.parent / "flag"
    evil = f"#!/bin/sh\ntouch {flag}\n"
    for name in ("post-checkout", "post-index-change", "reference-transaction", "pre-commit"):
        (hooks / name).write_text(evil)
        (hooks / name).chmod(0o755)
    here.write("evil", evil).chmod(0o755)
    here.write(".gitattributes", "* filter=evil\n")
    here.git("add", ".gitattributes")
    here.git("-c", "core.hooksPath=/dev/null", "commit", "-qm", "attributes")
    config = here.folder / ".git/config"
    program = here.folder / "evil"
    config.write_text(
        config.read_text()
        + f'[core]\n\tfsmonitor = {program}\n[filter "evil"]\n\tsmudge = {program}\n\tclean = {program}\n'
    )
    flag.unlink(missing_ok=True)
    record = await here.run(
        f"""cd /workspace; printf '{evil}' > /workspace/evil; chmod +x evil
git config core.fsmonitor /workspace/evil; mkdir sub; cd sub; git init -q
git config core.fsmonitor {flag.parent}/app/evil; echo x > x; git add x; git commit -qm x; echo y > ../y""",
        "worktree",
    )
    assert record.exit_code == 0, await output(here.client, record)
    assert "A sub/x" in record.workspace["changed"]  # type: ignore[operator]
    assert not flag.exists()


async def test_a_session_goes_on_and_what_a_dead_daemon_left_is_committed(here: House) -> None:
    first = await here.run("echo 1 > f", "worktree", session_id="new")
    assert first.session_id is not None
    branch = f"hutch-{first.session_id}"
    assert first.workspace["branch"] == branch
    second = RunRequest(command="echo 2 >> f; sleep 60", session_id=first.session_id, cwd="/workspace")
    await here.client.run(second, 1)
    await here.daemon.restart(signal.SIGKILL)
    assert here.git("show", f"{branch}:f") == "1\n2\n"
    assert here.git("log", "--format=%s", branch).splitlines().count(f"What {first.session_id} did") == 2


async def test_what_is_no_repository_or_borrows_is_refused(here: House) -> None:
    info = here.folder / ".git/objects/info"
    (info / "alternates").write_text("/somewhere/objects\n")
    with pytest.raises(ServiceError) as refused:
        await here.run("true", "worktree")
    assert refused.value.code == "workspace_denied"
    subprocess.run(["rm", "-r", str(here.folder / ".git")], check=True)
    with pytest.raises(ServiceError) as refused:
        await here.run("true", "worktree")
    assert "no git repository" in refused.value.message


async def test_the_objects_of_the_repository_are_only_read(here: House) -> None:
    record = await here.run(
        "touch /repository/objects/x; rm -rf /repository/objects/??; true; ls /repository/objects | wc -l",
        "worktree",
    )
    assert (await output(here.client, record))[0].strip() != "0"
    here.git("fsck", "--no-dangling")
    assert list((here.folder / ".git/objects").iterdir())
