"""The method `account`, by root: what it grants, what it shuts, and that nothing of it stays."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from hutch_launchers import proc
from hutch_launchers.landlock import OLDEST, abi
from hutch_launchers.launcher import LauncherError
from hutch_launchers.methods.account import acl, firewall
from hutch_launchers.methods.account.launcher import AccountLauncher, account_argv
from hutch_launchers.spec import Guarantee, Mount
from support.launcher_accounts import Accounts, accounts
from support.launcher_leftovers import nothing_left
from support.launcher_methods import code, finish, python, read_line, run, sh, spec

INSIDE = PurePosixPath("/workspace")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    with accounts(tmp_path_factory.mktemp("accounts")) as made:
        yield made


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of root's that nobody else may enter, with something in it."""
    with tempfile.TemporaryDirectory(prefix="hutch-account-") as name:
        (Path(name) / "data/sub").mkdir(parents=True, mode=0o750)
        (Path(name) / "data/sub/file").write_text("old")
        (Path(name) / "data/sub/file").chmod(0o640)
        (Path(name) / "data/program").write_text("#!/bin/sh\necho ran\n")
        (Path(name) / "data/program").chmod(0o700)
        yield Path(name) / "data"


def state(folder: Path) -> dict[str, tuple[int, int, list[str]]]:
    """Owner, mode and attributes of all that is there."""
    paths = [folder.parent, folder, *sorted(folder.rglob("*"))]
    return {
        str(path): (path.lstat().st_uid, path.lstat().st_mode, os.listxattr(path, follow_symlinks=False))
        for path in paths
    }


async def test_it_writes_where_it_may_and_everything_is_as_before_when_it_has_ended(
    pool: Accounts, folder: Path
) -> None:
    before = state(folder)
    script = (
        "cat sub/file; echo new > sub/file; ./program; mkdir made; echo x > made/y; ln -s /etc made/l; id -u"
    )
    done = await run(
        pool.launcher, spec(sh(script, cwd="/workspace"), mounts=(Mount(folder, INSIDE, writable=True),))
    )
    assert done.status == code(0), done.err
    assert done.text.split() == ["oldran", str(pool.all[0].uid)]
    after = state(folder)
    made = {path: told for path, told in after.items() if "/made" in path}
    assert {path: told for path, told in after.items() if path not in made} == before
    assert {owner for owner, _, _ in made.values()} == {0}
    assert [told[1] & 0o777 for path, told in made.items() if path.endswith("/y")] == [0o600]
    assert (folder / "sub/file").read_text() == "new\n"
    assert pool.tables == []


async def test_what_is_mounted_to_be_read_is_read_and_not_written(pool: Accounts, folder: Path) -> None:
    script = (
        "cat sub/file; (echo no > sub/file) 2>/dev/null || echo refused; touch x 2>/dev/null || echo refused"
    )
    done = await run(pool.launcher, spec(sh(script, cwd="/workspace"), mounts=(Mount(folder, INSIDE),)))
    assert done.text.split() == ["oldrefused", "refused"]
    assert (folder / "sub/file").read_text() == "old"


async def test_home_and_temporary_files_are_its_own_and_go_with_it(pool: Accounts) -> None:
    script = "echo x > $HOME/a; echo x > $TMPDIR/b; echo x > /tmp/$1; echo x > /dev/shm/$1; cd; pwd; umask"
    word = f"hutch-account-{os.urandom(4).hex()}"
    command = sh(script, word, env={"HOME": "/home/agent"})
    done = await run(pool.launcher, spec(command))
    home, umask = done.text.split()
    assert (Path(home).exists(), umask) == (False, "0077")
    assert not any((Path(folder) / word).exists() for folder in ("/tmp", "/dev/shm"))


async def test_a_file_with_a_further_name_outside_is_not_granted(pool: Accounts, folder: Path) -> None:
    os.link(folder / "sub/file", folder.parent / "outside")
    with pytest.raises(LauncherError) as refused:
        await run(pool.launcher, spec(sh(":"), mounts=(Mount(folder, INSIDE, writable=True),)))
    assert "hard link" in refused.value.message
    assert acl.NAME not in os.listxattr(folder.parent / "outside")


async def test_a_folder_with_an_access_list_of_its_own_is_left_alone(pool: Accounts, folder: Path) -> None:
    own = acl.of_mode(0o640).granting(1234, 4).encode()
    os.setxattr(folder / "sub/file", acl.NAME, own)
    before = state(folder)
    with pytest.raises(LauncherError) as refused:
        await run(pool.launcher, spec(sh(":"), mounts=(Mount(folder, INSIDE, writable=True),)))
    assert "access list of its own" in refused.value.message
    assert (state(folder), os.getxattr(folder / "sub/file", acl.NAME)) == (before, own)


def test_the_firewall_alone_shuts_the_account_off_and_nobody_else(pool: Accounts) -> None:
    account = pool.all[0]
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        words = ["/usr/bin/python3", "-I", "-S", "-c", source]
        as_account = {"user": account.uid, "group": account.gid, "extra_groups": ()}
        assert subprocess.run(words, **as_account, check=False).returncode == 0  # type: ignore[call-overload]
        firewall.apply(firewall.shut_rules(account.uid))
        try:
            firewall.apply(firewall.shut_rules(account.uid))  # once more changes nothing
            assert subprocess.run(words, **as_account, stderr=subprocess.DEVNULL, check=False).returncode != 0  # type: ignore[call-overload]
            assert subprocess.run(words, check=False).returncode == 0
        finally:
            firewall.apply(firewall.open_rules(account.uid))
            firewall.apply(firewall.open_rules(account.uid))


async def test_it_shows_what_it_holds_and_claims_no_more(pool: Accounts) -> None:
    probe = await pool.launcher.probe(fresh=True)
    assert probe.available, probe.reason
    limits = {Guarantee.MEMORY, Guarantee.CPU, Guarantee.PIDS}
    told = {guarantee: shown.detail for guarantee, shown in probe.evidence.items() if not shown.held}
    assert probe.guarantees >= {Guarantee.NETWORK, Guarantee.SYSCALLS, *limits}, told
    by_landlock = {Guarantee.FILESYSTEM, Guarantee.PROCESSES}
    assert probe.guarantees & by_landlock == (by_landlock if abi() >= OLDEST else set())
    assert Guarantee.DISK not in probe.guarantees


async def test_it_gains_no_right_and_has_no_group_but_its_own(pool: Accounts) -> None:
    source = (
        "import os; print(os.getresuid() == (os.getuid(),) * 3, os.getgroups() in ([], [os.getgid()]));"
        "s = dict(l.split(':\\t', 1) for l in open('/proc/self/status') if ':\\t' in l);"
        "print(s['NoNewPrivs'].strip(), s['CapBnd'].strip(), s['CapEff'].strip(), s['Seccomp'].strip())"
    )
    done = await run(replace(pool.launcher, proc="visible"), spec(python(source)))
    assert done.text.splitlines() == ["True True", f"1 {'0' * 16} {'0' * 16} 2"]


async def test_each_run_has_an_account_of_its_own_and_none_is_given_twice(pool: Accounts) -> None:
    async with AsyncExitStack() as stack:
        names = set()
        for _ in pool.offline:
            process = await stack.enter_async_context(pool.launcher.launch(spec(sh("id -u; read x"))))
            names.add(await read_line(process.stdout))
        assert names == {str(account.uid) for account in pool.offline}
        with pytest.raises(LauncherError) as refused:
            await run(pool.launcher, spec(sh(":")))
        assert (refused.value.code, "in use" in refused.value.message) == ("method_unavailable", True)
    assert (await run(pool.launcher, spec(sh("echo free")))).text == "free\n"


async def test_whoever_hides_from_its_mark_is_ended_with_the_run(pool: Accounts) -> None:
    source = (
        "import os, sys, time\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        for fd in range(3): os.dup2(os.open('/dev/null', os.O_RDWR), fd)\n"
        "        os.execve('/bin/sleep', ['sleep', '600'], {})\n"
        "print('ready', flush=True)\n"
    )
    sandbox = spec(python(source))
    async with pool.launcher.launch(sandbox) as process:
        assert await read_line(process.stdout) == "ready"
    assert [pid for account in pool.all for pid in proc.pids_of_user(account.uid)] == []
    assert nothing_left(sandbox.run_id)


async def test_a_kept_one_takes_further_commands(pool: Accounts, folder: Path) -> None:
    mounts = (Mount(folder, INSIDE, writable=True),)
    async with pool.launcher.keep(spec(None, mounts=mounts)) as kept:
        for script, said in (("echo x > new; id -u", str(pool.all[0].uid)), ("cat new", "x")):
            async with kept.start(sh(script, cwd="/workspace")) as process:
                assert (await finish(process)).text.strip() == said
    assert pool.tables == []


DAEMON = """
import os, signal, sys
import anyio
from pathlib import Path
sys.path[:0] = {path!r}
from hutch_launchers.methods.account.launcher import AccountLauncher
from hutch_launchers.spec import Mount
from support.launcher_methods import read_line, sh, spec

async def main():
    launcher = AccountLauncher(prefix=sys.argv[1], journals=Path(sys.argv[2]))
    mounts = (Mount(Path(sys.argv[3]), Path("/workspace"), writable=True),)
    command = sh("(setsid sleep 600 &); echo x > made; echo ready; sleep 600", cwd="/workspace")
    async with launcher.launch(spec(command, run_id=sys.argv[4], mounts=mounts)) as process:
        await read_line(process.stdout)
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


@pytest.mark.parametrize("how", ["reaped", "taken by the next run"])
async def test_what_a_killed_daemon_left_is_taken_back(pool: Accounts, folder: Path, how: str) -> None:
    before = state(folder)
    run_id = f"test-{os.urandom(6).hex()}"
    program = DAEMON.replace("{path!r}", repr([p for p in sys.path if p]))
    words = [pool.launcher.prefix, str(pool.launcher.journals), str(folder), run_id]
    assert subprocess.run([sys.executable, "-c", program, *words], check=False).returncode == -signal.SIGKILL
    assert (state(folder) != before, len(pool.tables)) == (True, 1)
    if how == "reaped":
        assert await pool.launcher.reap(run_id)
        assert not await pool.launcher.reap(run_id)
    else:
        await run(pool.launcher, spec(sh(":")))
        await pool.launcher.reap(run_id)
    (folder / "made").unlink()
    assert (state(folder), pool.tables, nothing_left(run_id)) == (before, [], True)
    assert not list(pool.launcher.journals.glob("*.json"))
    assert [pid for account in pool.all for pid in proc.pids_of_user(account.uid)] == []


async def test_an_ordinary_user_is_told_that_it_takes_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    probe = await AccountLauncher().probe(fresh=True)
    assert (probe.available, "daemon of root's" in probe.reason) == (False, True)
    with pytest.raises(LauncherError) as refused:
        await AccountLauncher().set_up()
    assert (refused.value.code, refused.value.hint) == (
        "method_unavailable",
        "run it by sudo, once for this host",
    )


def test_the_words_around_a_command(pool: Accounts) -> None:
    account = pool.all[0]
    assert account_argv("/usr/bin/setpriv", account) == [
        "/usr/bin/setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups",
        "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--",
        "/bin/sh", "-c", 'umask 077; exec "$@"', "hutch", "{command}",
    ]  # fmt: skip
