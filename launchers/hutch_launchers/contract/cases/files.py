"""Files: what is not granted is neither read nor changed."""

import anyio

from hutch_launchers.contract.bench import VOLUME, Bench, finish
from hutch_launchers.contract.case import Case, expect
from hutch_launchers.spec import Ability, Guarantee, Mount

_FILES = frozenset({Guarantee.FILESYSTEM})
_CALLS = frozenset({Guarantee.FILESYSTEM, Guarantee.SYSCALLS})
_OTHERS = frozenset({Guarantee.FILESYSTEM, Guarantee.PROCESSES})

_CHANGE_ALL = (
    "for f in $(find /opt /run -xdev 2>/dev/null) /opt/x /usr/bin/env; do "
    "(: >> $f) 2>/dev/null && echo wrote $f; chmod --reference=$f $f 2>/dev/null && echo changed $f; "
    "mv $f $f.old 2>/dev/null && mv $f.old $f && echo moved $f; done; echo tried"
)


async def between_sandboxes(bench: Bench) -> None:
    """Two at once: neither sees a file or a process of the other."""
    mark = "876543"
    files = "touch $TMPDIR/of-first ~/of-first; : > /dev/shm/of-first"
    leave = f"sleep {mark} & ({files}) 2>/dev/null; echo ready; wait"
    look = (
        "ls /tmp $TMPDIR ~ /dev/shm 2>/dev/null | grep of-first; "
        f"cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep 'p {mark[:-1]}[{mark[-1]}]'; echo ok"
    )
    async with bench.launcher.launch(bench.spec(bench.sh(leave))) as first:
        with anyio.fail_after(20):
            await first.stdout.receive()
        done = await bench.run(bench.sh(look))
        expect(done.out == "ok\n", done.out + done.err)


async def guest(bench: Bench) -> None:
    """What was put in for a kept sandbox is read-only, and its commands go on."""
    async with bench.keep() as kept:
        for script, said in ((_CHANGE_ALL, "tried\n"), ("echo works", "works\n")):
            async with kept.start(bench.sh(script)) as process:
                done = await finish(process, 20)
                expect(done.out == said, done.out + done.err)


async def setuid_outside(bench: Bench) -> None:
    """A file that became executable inside has no bit of power on the host."""
    volume = bench.stage.folder / "volume-setuid"
    volume.mkdir(exist_ok=True)
    ways = "chmod 755 f && chmod u+s f; chmod 4755 f; cp -p /usr/bin/su . ; true"
    command = bench.sh(f'cd "$HUTCH_VOLUME" && echo x > f && {ways}', env={"HUTCH_VOLUME": str(VOLUME)})
    await bench.run(command, mounts=(Mount(volume, VOLUME, writable=True),))
    found = {path.name: path.stat().st_mode for path in volume.iterdir()}
    expect("f" in found and found["f"] & 0o100, f"the allowed file is not there as it was made: {found}")
    expect(not any(mode & 0o4000 for mode in found.values()), f"the setuid bit was set: {found}")


CASES = (
    Case("files/read-out", "Read a file outside all grants by any spelling of its path", _FILES),
    Case("files/write-out", "Write outside all grants, or change the system's own files", _FILES),
    Case("files/symlink-out", "A symbolic link to the outside in a volume or a workspace", _FILES),
    Case("files/hard-link-before", "Write through a hard link to the outside made before the start", _FILES),
    Case("files/hard-link-inside", "A hard link or a rename across mounts", _FILES),
    Case("files/mounts", "mount, umount, pivot_root, chroot and the new mount calls", _CALLS),
    Case("files/proc-links", "/proc/*/root, cwd, fd, exe, maps; inherited descriptors", _OTHERS),
    Case("files/mknod", "Device nodes: made, or met in a workspace", _CALLS),
    Case(
        "files/guest",
        "What was put in for a kept sandbox is read-only",
        _FILES,
        frozenset({Ability.KEEP}),
        guest,
    ),
    Case(
        "files/kernel-settings",
        "sysctl, core_pattern, sysrq, cgroup release_agent, uevent_helper",
        _FILES,
    ),
    Case("files/setuid-bits", "setuid bits and security attributes set inside", _CALLS),
    Case(
        "files/setuid-outside",
        "No setuid bit reaches the host by a writable mount",
        _CALLS,
        watch=setuid_outside,
    ),
    Case("files/private-folders", "/tmp, /dev/shm and /var/tmp are the sandbox's own", _FILES),
    Case(
        "files/between-sandboxes",
        "Two sandboxes see no file and no process of each other",
        _OTHERS,
        watch=between_sandboxes,
    ),
    Case("files/read-only", "Editor, agent and git configuration in a read-only workspace", _FILES),
)
