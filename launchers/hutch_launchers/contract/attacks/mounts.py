"""Attacks by mounts, by the links of /proc, by device nodes, and by modes and attributes of power."""

import ctypes
import os
import stat
import subprocess
from pathlib import Path
from typing import NoReturn

from hutch_launchers.contract.attacks.calls import NR
from hutch_launchers.contract.attacks.inside import (
    FACTS,
    OUT,
    VOL,
    Absent,
    Contained,
    Missed,
    allowed,
    attack,
    denied,
    flat,
    program_of_pid_1,
    supervisor,
    workspace,
)

_VOL = VOL.encode()


def _open_at_start() -> list[int]:
    """Descriptors beside the three, before any try has opened one."""
    found = []
    for fd in range(3, 256):
        try:
            os.fstat(fd)
        except OSError:
            continue
        found.append(fd)
    return found


_OPEN_AT_START = _open_at_start()
# where one succeeds it is on a folder made for the purpose, or changes nothing
_MS_BIND, _MS_REMOUNT, _MS_REC = 4096, 32, 16384
for _name, _arguments in {
    "mount_tmpfs": (b"x", _VOL, b"tmpfs", 0, None),
    "mount_bind": (b"/usr", _VOL, None, _MS_BIND, None),
    "mount_remount": (None, b"/usr/bin", None, _MS_REMOUNT | _MS_BIND, None),
    "mount_remount_high": (None, b"/usr/bin", None, (1 << 32) | _MS_REMOUNT | _MS_BIND, None),
    "mount_proc": (b"x", _VOL, b"proc", 0, None), "umount2": (b"/usr/bin", 2),
    "umount2_lazy": (b"/usr/bin", 10),
    "pivot_root": (b".", b"."), "chroot": (b"/tmp",), "open_tree": (-100, b"/", 1),
    "open_tree_attr": (-100, b"/", 1, None, 0),
    "move_mount": (-100, b"/usr/bin", -100, _VOL, 0), "fsopen": (b"tmpfs", 0), "fspick": (-100, b"/", 0),
    "fsconfig": (0, 6, None, None, 0), "fsmount": (0, 0, 0),
    "mount_setattr": (-100, b"/usr/bin", 0, b"\0" * 32, 32),
    "statmount": (b"\0" * 32, None, 0, 0), "listmount": (b"\0" * 32, None, 0, 0),
}.items():  # fmt: skip
    flat("files/mounts", _name, NR.get(_name) or NR.get(_name.split("_")[0]), *_arguments)


@allowed("files/mounts")
def mounts_can_be_read() -> None:
    try:
        assert Path("/proc/self/mountinfo").read_text()
    except PermissionError as error:
        raise Absent("a sandbox of this method is not shown its mounts") from error


# Ways around by /proc ------------------------------------------------------------


@attack("files/proc-links")
def read_through_process_roots() -> str | None:
    for entry in Path("/proc").glob("[0-9]*"):
        for link in ("root", "cwd", "root/..", "cwd/../../../.."):
            try:
                return (entry / link).joinpath(OUT.lstrip("/"), "canary").read_text()
            except OSError:
                continue
    raise Contained("every root and working folder of /proc is the sandbox's own")


@attack("files/proc-links")
def pid_1_shows_its_root() -> None:
    names = set(os.listdir(f"{supervisor()}/root"))
    if names == set(os.listdir("/")):
        raise Contained("the root of pid 1 is the sandbox's own")


@attack("files/proc-links")
def descriptors_of_pid_1() -> str | None:
    names = os.listdir(f"{supervisor()}/fd")
    for name in names:
        target = os.readlink(f"/proc/1/fd/{name}")
        if target.startswith("/") and not target.startswith("/dev/null"):
            return target
    raise Contained(f"{len(names)} descriptors, none of a file")


@attack("files/proc-links")
def inherited_descriptors() -> str | None:
    if not _OPEN_AT_START:
        raise Contained("nothing beside stdin, stdout and stderr")
    return str(_OPEN_AT_START)


@attack("files/proc-links")
def descriptors_of_every_process() -> str | None:
    """A descriptor of another process can be opened again by its name in /proc."""
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith("/") and not target.startswith(("/proc", "/dev/null", "/dev/pts")):
            return f"{entry} is {target}"
    raise Contained("no file of another process")


@attack("files/proc-links")
def the_program_of_pid_1_is_a_file_of_the_host() -> int:
    return os.open(program_of_pid_1(), os.O_RDONLY)


@attack("files/proc-links")
def paths_of_the_host_in_memory_maps() -> str | None:
    mapped = Path(supervisor(), "maps").read_text().split()
    hidden = [word for word in mapped if word.startswith("/") and not os.path.exists(word)]
    if hidden:
        return hidden[0]
    raise Contained("none but of files that are shown")


@allowed("files/proc-links")
def own_links_in_proc_work() -> None:
    assert os.readlink("/proc/self/exe").startswith("/usr/bin/python3")
    assert Path("/proc/self/root/usr/bin/env").exists()


# Devices and privileges on files ----------------------------------------------------

for _number, _place in enumerate((f"{VOL}/device", "/tmp/device", "/dev/shm/device")):
    _path = _place.encode()
    flat("files/mknod", f"character_{_number}", NR.get("mknodat"), -100, _path, 0o020666, 0x103)
    flat("files/mknod", f"block_{_number}", NR.get("mknodat"), -100, _path, 0o060666, 0xFE00)
    flat("files/mknod", f"high_{_number}", NR.get("mknodat"), -100, _path, (1 << 32) | 0o060666, 0xFE00)
flat("files/mknod", "old_mknod", NR.get("mknod"), b"/tmp/old", 0o020666, 0x103)


@attack("files/mknod")
def use_a_device_of_the_host() -> None:
    opened = os.open(workspace("device"), os.O_RDONLY)
    if not stat.S_ISCHR(os.fstat(opened).st_mode):
        raise Contained("something else covers it")


@allowed("files/mknod")
def a_fifo_can_be_made() -> None:
    os.mkfifo(f"{VOL}/fifo")


_SETUID = 0o4755
Path(VOL, "program").write_text("x") if FACTS else None
flat("files/setuid-bits", "fchmodat", NR.get("fchmodat"), -100, _VOL + b"/program", _SETUID, 0)
flat("files/setuid-bits", "fchmodat2", NR.get("fchmodat2"), -100, _VOL + b"/program", _SETUID, 0)
flat("files/setuid-bits", "chmod", NR.get("chmod"), _VOL + b"/program", _SETUID)
flat("files/setuid-bits", "chmod_high", NR.get("chmod"), _VOL + b"/program", (1 << 32) | _SETUID)
flat("files/setuid-bits", "creat", NR.get("creat"), _VOL + b"/creat", _SETUID)
flat(
    "files/setuid-bits",
    "openat",
    NR.get("openat"),
    -100,
    _VOL + b"/openat",
    os.O_CREAT | os.O_WRONLY,
    _SETUID,
)
flat("files/setuid-bits", "open", NR.get("open"), _VOL + b"/open", os.O_CREAT | os.O_WRONLY, _SETUID)
flat(
    "files/setuid-bits",
    "tmpfile",
    NR.get("openat"),
    -100,
    _VOL,
    0o20000000 | os.O_DIRECTORY | os.O_RDWR,
    _SETUID,
)
flat("files/setuid-bits", "mknodat", NR.get("mknodat"), -100, _VOL + b"/mknodat", stat.S_IFREG | _SETUID, 0)


@attack("files/setuid-bits")
def openat2() -> NoReturn:
    how = ctypes.create_string_buffer(
        b"".join(v.to_bytes(8, "little") for v in (os.O_CREAT | os.O_WRONLY, _SETUID, 0))
    )
    denied(NR["openat2"], -100, _VOL + b"/openat2", how, 24)


@attack("files/setuid-bits")
def file_capabilities() -> None:
    Path(VOL, "capable").write_text("x")
    os.setxattr(f"{VOL}/capable", "security.capability", bytes.fromhex("0100000201000000") + bytes(16))


@attack("files/setuid-bits")
def attributes_of_power() -> None:
    Path(VOL, "labelled").write_text("x")
    for name in ("security.evm", "trusted.overlay.opaque", "system.posix_acl_none"):
        try:
            os.setxattr(f"{VOL}/labelled", name, b"x")
        except OSError:
            continue
        raise Missed(name)
    raise Contained("refused, all of them")


@attack("files/setuid-bits")
def leave_it_for_the_host_to_find() -> str | None:
    """Every other way to the bit; the host looks at what became of it."""
    for mode in ("u+s", "g+s", "6755", "2755"):
        Path(VOL, f"left-{mode}").write_text("x")
        subprocess.run(["chmod", mode, f"{VOL}/left-{mode}"], capture_output=True, check=False)
        if Path(VOL, f"left-{mode}").stat().st_mode & stat.S_ISUID:
            return mode
    raise Contained("no file of ours has the setuid bit")


@allowed("files/setuid-bits")
def a_file_becomes_executable() -> None:
    Path(VOL, "script").write_text("#!/bin/sh\n")
    Path(VOL, "script").chmod(0o755)
    subprocess.run([f"{VOL}/script"], check=True)
