"""What Landlock does not rule: attributes of files, sockets, and what rules that add up cannot say."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import anyio
import pytest

from hutch_launchers.hierarchy import find_hierarchy
from hutch_launchers.launcher import Launcher, LauncherError
from hutch_launchers.spec import Command, Guarantee, Mount
from support.launcher_leftovers import no_new_fds
from support.launcher_methods import PATH, available, code, finish, python, read_line, run, sh, spec
from support.streams import LONG_S

WORK = PurePosixPath("/workspace")


@pytest.fixture
async def launcher() -> Launcher:
    return await available("landlock")


def python_at_work(source: str, *words: str) -> Command:
    return Command(("/usr/bin/python3", "-I", "-S", "-c", source, *words), WORK, {"PATH": PATH})


def at_work(script: str, *words: str) -> Command:
    return sh(script, *words, cwd=str(WORK))


async def test_programs_set_modes_and_times_of_their_own_files(launcher: Launcher, tmp_path: Path) -> None:
    script = """
    set -e
    echo : > file; mkdir -p deep/er; ln -s file link
    chmod 640 file; chmod u+x link; chmod 711 deep/er; install -m 755 file tool; ./tool
    touch -d 2001-02-03T04:05:06Z file; cp -p file copy; touch -h -d 2001-02-03T04:05:06Z link
    chown "$(id -u)" file; mkdir there; tar -cf a.tar deep file; tar -xf a.tar -C there
    """
    mounts = (Mount(tmp_path, WORK, writable=True),)
    with no_new_fds():
        done = await run(launcher, spec(at_work(script), mounts=mounts))
    assert (done.status, done.err) == (code(0), b"")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("file", "deep/er", "tool")] == [
        0o740,
        0o711,
        0o755,
    ]
    times = {(tmp_path / name).stat(follow_symlinks=False).st_mtime for name in ("file", "copy", "link")}
    assert times == {981173106.0}
    assert (tmp_path / "there/file").stat().st_mode & 0o777 == 0o740


ATTACKS = """
import os, sys
outside, readable = sys.argv[1:]
os.symlink(outside, "way")
folder = os.open(".", os.O_RDONLY)
held = os.open(outside, os.O_PATH)
read = os.open(readable, os.O_RDONLY)
up = "../" * 40 + outside[1:]
tries = {
    "path": lambda: os.chmod(outside, 0o777),
    "link": lambda: os.chmod("way", 0o777),
    "relative": lambda: os.chmod(up, 0o777),
    "folder": lambda: os.chmod(up, 0o777, dir_fd=folder),
    "descriptor's name": lambda: os.chmod(f"/proc/self/fd/{held}", 0o777),
    "root": lambda: os.chmod("/proc/self/root" + outside, 0o777),
    "the daemon's": lambda: os.chmod(f"/proc/{os.getppid()}/root{outside}", 0o777),
    "a reader's": lambda: os.fchmod(read, 0o777),
    "times": lambda: os.utime(outside, (1, 1)),
    "times of a link": lambda: os.utime("way", (1, 1)),
    "a reader's times": lambda: os.utime(read, (1, 1)),
    "owner": lambda: os.chown(outside, os.getuid(), os.getgid()),
    "attribute": lambda: os.setxattr(outside, "user.x", b"x"),
    "setuid": lambda: os.chmod(folder, 0o4777),
    "nothing": lambda: os.chmod("", 0o777),
}
for name, attempt in tries.items():
    try:
        attempt()
        print("done:", name)
    except OSError:
        pass
"""


async def test_no_attribute_of_a_file_outside_is_changed(launcher: Launcher, tmp_path: Path) -> None:
    work, given, outside = tmp_path / "work", tmp_path / "given", tmp_path / "outside"
    work.mkdir()
    for file in (given, outside):
        file.write_text("ours")
        file.chmod(0o640)
    before = [file.stat() for file in (given, outside)]
    mounts = (Mount(work, WORK, writable=True), Mount(given, PurePosixPath("/given")))
    done = await run(launcher, spec(python_at_work(ATTACKS, str(outside), str(given)), mounts=mounts))
    assert (done.status, done.text, done.err) == (code(0), "", b"")
    after = [file.stat() for file in (given, outside)]
    assert [(s.st_mode, s.st_mtime_ns) for s in after] == [(s.st_mode, s.st_mtime_ns) for s in before]


SOCKETS = """
import socket
kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW)
for make in (socket.socket, socket.socketpair):
    for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        for kind in kinds:
            try:
                make(family, kind)
                print(make.__name__, family.name, kind.name)
            except OSError:
                pass
"""


async def test_the_only_sockets_are_pairs_that_cannot_be_connected_anew(launcher: Launcher) -> None:
    done = await run(launcher, spec(python(SOCKETS)))
    assert done.text.splitlines() == [
        "socketpair AF_UNIX SOCK_STREAM",
        "socketpair AF_UNIX SOCK_SEQPACKET",
    ]


async def test_paths_in_the_environment_lead_to_where_files_are(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/hello").write_text("#!/bin/sh\necho hello from $0\n")
    (tmp_path / "bin/hello").chmod(0o755)
    command = Command(
        ("sh", "-c", 'hello; echo "$URL"; cd; touch mine; echo x > "$TMPDIR/x"; ls "$HOME"'),
        WORK,
        {"PATH": "/workspace/bin:/usr/bin:/bin", "HOME": "/home/agent", "URL": "http://workspace/x"},
    )
    done = await run(launcher, spec(command, mounts=(Mount(tmp_path, WORK),)))
    assert (done.status, done.err) == (code(0), b"")
    assert done.text.splitlines() == [f"hello from {tmp_path}/bin/hello", "http://workspace/x", "mine"]


@pytest.mark.parametrize("order", [lambda pair: pair, lambda pair: pair[::-1]], ids=["after", "before"])
async def test_a_folder_inside_a_writable_one_is_never_promised_to_stay(
    launcher: Launcher, tmp_path: Path, order: Callable[[tuple[Mount, ...]], tuple[Mount, ...]]
) -> None:
    (tmp_path / "kept").mkdir()
    pair = (Mount(tmp_path, WORK, writable=True), Mount(tmp_path / "kept", PurePosixPath("/kept")))
    with pytest.raises(LauncherError) as refused:
        await run(launcher, spec(at_work(":"), mounts=order(pair)))
    assert refused.value.code == "guarantee_missing"


async def test_root_has_no_capability_inside(launcher: Launcher) -> None:
    source = (
        "import ctypes\n"
        "held = [cap for cap in range(64) if ctypes.CDLL(None).prctl(23, cap, 0, 0, 0) == 1]\n"
        "header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()\n"
        "assert ctypes.CDLL(None).capget(header, data) == 0\n"
        "print(held if __import__('os').geteuid() == 0 else [], list(data))\n"
    )
    done = await run(launcher, spec(python(source)))
    assert (done.text, done.err) == ("[] [0, 0, 0, 0, 0, 0]\n", b"")


async def test_it_gives_what_a_policy_needs_by_default(launcher: Launcher) -> None:
    needed = {Guarantee.FILESYSTEM, Guarantee.NETWORK, Guarantee.SYSCALLS}
    if find_hierarchy() is not None:
        needed.add(Guarantee.PROCESSES)
    assert needed <= (await launcher.probe()).guarantees


async def test_a_kept_one_goes_on_after_a_command_was_killed(launcher: Launcher) -> None:
    async with launcher.keep(spec(None)) as kept:
        async with kept.start(sh("sleep 600 & echo ready; wait")) as process:
            assert await read_line(process.stdout) == "ready"
            with anyio.fail_after(LONG_S):
                await process.stop(grace_s=0)
        async with kept.start(sh("echo on")) as process:
            assert (await finish(process)).text == "on\n"
