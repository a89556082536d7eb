import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch_launchers.hosts import hosts
from hutch_launchers.launcher import LauncherError
from hutch_launchers.methods.bubblewrap.argv import Bound, Handles, Options, bwrap_argv
from hutch_launchers.sources import check_target
from hutch_launchers.spec import Command, Door, EgressEndpoint, Mount
from hutch_launchers.system_view import SystemView
from support.launcher_methods import LAUNCHERS, python, run, sh, spec

VIEW = SystemView(("/usr", "/etc/ssl/certs"), (("usr/bin", "/bin"),), (("/etc/services", b"x"),))
HANDLES = Handles(
    files={"/etc/services": 10, "/etc/passwd": 11},
    mounts=(
        Bound(Mount(Path("/host/ws"), PurePosixPath("/workspace"), writable=True), 12),
        Bound(Mount(Path("/host/ro"), PurePosixPath("/workspace/ro")), "/host/ro"),
    ),
    seccomp=13,
    status=14,
    block=15,
    sync=16,
)
COMMAND = Command(("claude", "-p"), PurePosixPath("/workspace"), {"A": "1", "--B": "--bind"})


def test_the_flags_are_exactly_these() -> None:
    devices = (("/dev/hutch/null", "/dev/null"),)
    options = Options(VIEW, readable=("/opt/tool",), masked=("/proc/kcore",), devices=devices)
    assert " ".join(bwrap_argv(options, HANDLES, COMMAND, 800)) == (
        "--unshare-user --unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup"
        " --disable-userns --uid 1000 --gid 1000 --hostname hutch --cap-drop ALL"
        " --die-with-parent --new-session"
        " --seccomp 13 --json-status-fd 14 --block-fd 15 --sync-fd 16"
        " --dir /etc --dir /home --dir /run --dir /var"
        " --ro-bind /usr /usr --ro-bind /etc/ssl/certs /etc/ssl/certs --symlink usr/bin /bin"
        " --proc /proc --size 4096 --tmpfs /proc/1"
        " --ro-bind /dev/null /proc/kcore"
        " --dev /dev --symlink /tmp /var/tmp --dev-bind /dev/hutch/null /dev/null"
        " --size 400 --perms 1777 --tmpfs /tmp --size 300 --perms 0700 --tmpfs /home/agent"
        " --size 100 --perms 1777 --tmpfs /dev/shm"
        " --perms 0444 --file 10 /etc/services --perms 0444 --file 11 /etc/passwd"
        " --ro-bind /opt/tool /opt/tool --bind-fd 12 /workspace --ro-bind /host/ro /workspace/ro"
        " --remount-ro /proc/1 --remount-ro /proc --remount-ro /dev --remount-ro /"
        " --clearenv --setenv A 1 --setenv --B --bind --chdir /workspace"
    )


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@given(st.lists(words | st.sampled_from(["--", "--bind", "--args", "--dev-bind"]), min_size=1, max_size=5))
def test_no_word_of_a_command_is_among_the_flags(argv: list[str]) -> None:
    plain = bwrap_argv(Options(VIEW), HANDLES, COMMAND, None)
    command = Command(tuple(argv), COMMAND.cwd, COMMAND.env)
    assert bwrap_argv(Options(VIEW), HANDLES, command, None) == plain


@given(st.dictionaries(words, words, max_size=4))
def test_each_variable_is_one_flag_with_two_words_after_all_mounts(env: dict[str, str]) -> None:
    flags = bwrap_argv(Options(VIEW), HANDLES, Command(("true",), COMMAND.cwd, env), None)
    at = flags.index("--clearenv")
    expected = [word for name, value in env.items() for word in ("--setenv", name, value)]
    assert flags[at + 1 :] == [*expected, "--chdir", "/workspace"]


def test_hosts_names_every_door_once_and_no_address() -> None:
    doors = (
        Door("api.test", "127.1.0.1", 443),
        Door("api.test", "127.1.0.1", 80),
        Door("127.0.0.9", "127.1.0.2", 1),
    )
    assert (
        hosts(EgressEndpoint(Path("/x"), doors))
        == b"127.0.0.1 localhost hutch\n::1 localhost\n127.1.0.1 api.test\n"
    )


async def test_the_host_s_process_list_shows_neither_environment_nor_mounts() -> None:
    secret = "planted-" + os.urandom(4).hex()
    async with LAUNCHERS["bubblewrap"].launch(spec(sh("sleep 60", env={"SECRET": secret}))) as process:
        assert process.pid is not None
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and (folder / "cmdline").exists():
                assert secret.encode() not in (folder / "cmdline").read_bytes()
        parent = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
        shown = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")[:-1]
        assert [shown[0], shown[1], *shown[3:]] == [
            b"bwrap",
            b"--args",
            b"--",
            b"sh",
            b"-c",
            b"sleep 60",
            b"sh",
        ]
        assert (Path(f"/proc/{parent}/environ").read_bytes()).startswith(b"HUTCH_SANDBOX=test-")


RESERVED = """
/ /proc /proc/self /dev /dev/shm /usr /usr/bin /etc /etc/x /run /bin /lib64 /sys /home /opt/hutch /opt a ../x
/tmp/../etc
"""


@pytest.mark.parametrize("target", RESERVED.split())
def test_a_mount_over_the_sandbox_s_own_folders_is_refused(target: str) -> None:
    with pytest.raises(LauncherError) as refused:
        check_target(PurePosixPath(target))
    assert refused.value.code == "sandbox_failed"


def test_a_mount_elsewhere_is_taken() -> None:
    for target in (
        "/workspace",
        "/home/agent",
        "/home/agent/.claude",
        "/tmp",
        "/tmp/x",
        "/opt/agent",
        "/data",
    ):
        check_target(PurePosixPath(target))


async def mounted(*mounts: Mount, script: str = "ls /w") -> bytes:
    done = await run(LAUNCHERS["bubblewrap"], spec(sh(script), mounts=mounts))
    return done.out + done.err


async def test_a_mount_shows_its_source_and_read_only_is_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    script = "cat /w/file; touch /w/new 2>&1; touch /r/new 2>&1"
    rw, ro = Mount(tmp_path, PurePosixPath("/w"), writable=True), Mount(tmp_path, PurePosixPath("/r"))
    assert (
        await mounted(rw, ro, script=script)
        == b"contenttouch: cannot touch '/r/new': Read-only file system\n"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "new"]


async def test_a_file_can_be_mounted_and_later_mounts_cover_earlier_ones(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_text("below")
    (tmp_path / "g").write_text("above")
    below, above = Mount(tmp_path / "a", PurePosixPath("/w")), Mount(tmp_path / "g", PurePosixPath("/w/f"))
    assert await mounted(below, above, script="cat /w/f") == b"above"


async def test_an_older_bwrap_takes_sources_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hutch_launchers.methods.bubblewrap.binary._BIND_FD", (99,))
    (tmp_path / "file").touch()
    assert await mounted(Mount(tmp_path, PurePosixPath("/w"))) == b"file\n"


@pytest.mark.parametrize("kind", ["absent", "link", "fifo", "relative"])
async def test_a_source_that_is_no_plain_file_or_folder_is_refused(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    if kind == "link":
        source.symlink_to("/etc")
    elif kind == "fifo":
        os.mkfifo(source)
    elif kind == "relative":
        source = Path("source")
    with pytest.raises(LauncherError) as refused:
        await mounted(Mount(source, PurePosixPath("/w")))
    assert refused.value.code == "sandbox_failed"


@pytest.mark.parametrize("planted", ["nothing", "link"])
async def test_a_mount_inside_a_mount_makes_nothing_in_it_and_follows_nothing(
    tmp_path: Path, planted: str
) -> None:
    outer, inner, out = tmp_path / "outer", tmp_path / "inner", tmp_path / "out"
    for folder in (outer, inner, out):
        folder.mkdir()
    if planted == "link":
        (outer / "sub").symlink_to(out)
    with pytest.raises(LauncherError) as refused:
        await mounted(
            Mount(outer, PurePosixPath("/w"), writable=True), Mount(inner, PurePosixPath("/w/sub/deep"))
        )
    assert refused.value.code == "sandbox_failed"
    assert (list(inner.iterdir()), list(out.iterdir())) == ([], [])
    assert [p.name for p in outer.iterdir()] == (["sub"] if planted == "link" else [])


async def test_nothing_of_the_host_shows_but_the_system_folders() -> None:
    script = (
        "ls /; ls /home/agent /run /dev/shm /tmp; ls /sys /root /work 2>&1; cat /proc/sys/kernel/hostname"
    )
    done = await run(LAUNCHERS["bubblewrap"], spec(sh(script)))
    roots = set(done.text.split("\n/dev/shm:")[0].split())
    assert sorted(roots - {"lib32", "libx32"}) == [
        "bin", "dev", "etc", "home", "lib", "lib64", "proc", "run", "sbin", "tmp", "usr", "var",
    ]  # fmt: skip
    assert done.text.count("No such file or directory") == 3
    assert done.text.endswith("hutch\n")


async def test_settings_of_the_kernel_cannot_be_changed() -> None:
    source = """
import os
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/proc/mtrr",
             "/proc/irq/default_smp_affinity", "/proc/kpageflags", "/proc/kcore", "/proc/slabinfo"):
    for mode in (os.O_WRONLY, os.O_RDONLY):
        try:
            fd = os.open(path, mode)
            data = os.read(fd, 64) if mode == os.O_RDONLY else b"writable"
            if data and not (mode == os.O_RDONLY and path.startswith(("/proc/sys/", "/proc/irq"))):
                print(path, mode, data)
        except OSError:
            pass
"""
    done = await run(LAUNCHERS["bubblewrap"], spec(python(source)))
    assert (done.out, done.err) == (b"", b"")


async def test_the_sandbox_has_no_privileges_to_gain() -> None:
    done = await run(
        LAUNCHERS["bubblewrap"], spec(sh("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; id -un"))
    )
    caps = [f"Cap{name}:\t0000000000000000" for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")]
    assert done.text.splitlines() == [*caps, "NoNewPrivs:\t1", "Seccomp:\t2", "agent"]
