"""Attacks on files: what is not granted is neither read nor changed, by whatever path, link or mount.

Where one succeeds it changes only what was put there for it: a method under test may be no sandbox at all.
"""

import os
import stat
import tempfile
from functools import partial
from pathlib import Path
from typing import NoReturn

from hutch_launchers.contract.attacks.calls import NR
from hutch_launchers.contract.attacks.inside import (
    FACTS,
    HOME,
    OUT,
    SHOWN,
    VOL,
    Contained,
    Missed,
    allowed,
    attack,
    denied,
    each_refused,
    program_of_pid_1,
    workspace,
)


@attack("files/read-out")
def read_by_absolute_path() -> str:
    return Path(OUT, "canary").read_text()


@attack("files/read-out")
def read_through_dots() -> str:
    return Path(workspace() + "/.." * 40 + OUT, "canary").read_text()


@attack("files/read-out")
def read_with_odd_slashes() -> str:
    return Path("//" + OUT.replace("/", "//./") + "/./canary").read_text()


@attack("files/read-out")
def look_into_private_folders() -> str | None:
    for folder, names in FACTS["private_folders"].items():
        try:
            shown = set(os.listdir(folder)) & set(names)
        except OSError:
            continue
        if shown:
            return f"{folder} shows {sorted(shown)[:5]}"
    raise Contained("of the host's home, /root, /var/lib and their like nothing is shown")


@attack("files/read-out")
def read_password_hashes() -> str:
    return Path("/etc/shadow").read_text()


@attack("files/read-out")
def find_the_daemon_anywhere() -> str | None:
    for root, folders, files in os.walk("/", onerror=None):
        folders[:] = [f for f in folders if os.path.join(root, f) not in ("/proc", "/sys", "/usr", *SHOWN)]
        for name in (*folders, *files):
            if name in ("canary", "state.db", "hutch.sock", "d.sock"):
                return os.path.join(root, name)
    raise Contained("no file of the daemon or the canary under /")


@attack("files/read-out")
def raw_disks_and_memory() -> str | None:
    for name in os.listdir("/dev"):
        mode = os.stat(f"/dev/{name}").st_mode if name not in ("stdin", "stdout", "stderr") else 0
        is_known = name in ("mem", "kmem", "port", "kmsg", "kvm", "fuse", "vsock", "snd")
        if stat.S_ISBLK(mode) or (is_known and not stat.S_ISREG(mode)):  # else something is put over it
            return f"/dev/{name}"
    raise Contained(", ".join(sorted(os.listdir("/dev"))))


@attack("files/read-out")
def kernel_memory_by_proc() -> bytes:
    with open("/proc/kcore", "rb") as core:
        if core.read(4) == b"\x7fELF":
            return b"/proc/kcore"
    raise Contained("/proc/kcore is empty")


@allowed("files/read-out")
def read_what_is_granted() -> None:
    assert Path(workspace("granted")).read_text() == "granted\n"
    assert Path("/usr/bin/env").exists()


@attack("files/write-out")
def write_by_absolute_path() -> None:
    Path(OUT, "canary").write_text("changed")


@attack("files/write-out")
def write_into_the_system() -> str | None:
    for folder in (
        "/usr",
        "/usr/bin",
        "/etc",
        "/bin",
        "/lib",
        "/",
        "/opt",
        "/dev",
        "/run",
        "/proc",
    ):
        here = Path(folder, "hutch-was-here")
        try:
            here.write_text("x")
        except OSError:
            continue
        here.unlink()
        return folder
    raise Contained("read-only everywhere but in the granted and private folders")


@attack("files/write-out")
def truncate_a_program() -> None:
    os.truncate("/usr/bin/env", os.stat("/usr/bin/env").st_size)


@attack("files/write-out")
def change_times_and_owner_of_a_program() -> None:
    now = os.stat("/usr/bin/env")
    each_refused(
        lambda: os.utime("/usr/bin/env", ns=(now.st_atime_ns, now.st_mtime_ns)),
        lambda: os.chown("/usr/bin/env", now.st_uid, now.st_gid),
    )


@attack("files/write-out")
def change_the_mode_of_a_device() -> None:
    """Under root's daemon this user is the host's root: a node of the host's /dev is its own."""
    devices = [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")]
    each_refused(*(partial(os.chmod, path, stat.S_IMODE(os.stat(path).st_mode)) for path in devices))


@attack("files/write-out")
def change_the_mode_of_an_entry_of_proc() -> None:
    """A mode in /proc is one for every instance of it, the host's included."""
    entries = [entry for entry in os.scandir("/proc") if entry.is_file(follow_symlinks=False)]
    each_refused(*(partial(os.chmod, e.path, stat.S_IMODE(e.stat().st_mode)) for e in entries))


@attack("files/write-out")
def change_the_program_of_pid_1() -> None:
    """It is bubblewrap's own file on the host, reached around every mount of the sandbox."""
    program = os.open(program_of_pid_1(), os.O_RDONLY)
    os.fchmod(program, stat.S_IMODE(os.fstat(program).st_mode))


@attack("files/write-out")
def overwrite_the_program_of_pid_1() -> None:
    os.open(program_of_pid_1(), os.O_WRONLY)


@attack("files/write-out")
def write_through_a_descriptor_link() -> None:
    fd = os.open("/usr/bin/env", os.O_PATH)
    os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)


@allowed("files/write-out")
def write_what_is_granted() -> None:
    for folder in (VOL, tempfile.gettempdir(), HOME):
        Path(folder, "written").write_text("x")


@attack("files/symlink-out")
def write_through_a_link_in_a_volume() -> None:
    os.symlink(f"{OUT}/canary", f"{VOL}/link")
    Path(VOL, "link").write_text("changed")


@attack("files/symlink-out")
def read_through_a_link_to_a_folder() -> str:
    os.symlink(OUT, f"{VOL}/folder-link")
    return Path(VOL, "folder-link/canary").read_text()


@attack("files/symlink-out")
def follow_a_link_that_was_there_before() -> str:
    return Path(workspace("link-out")).read_text()


@allowed("files/symlink-out")
def a_link_within_a_volume_is_followed() -> None:
    Path(VOL, "real").write_text("x")
    os.symlink("real", f"{VOL}/inner")
    assert Path(VOL, "inner").read_text() == "x"


@attack("files/hard-link-before")
def write_through_a_hard_link_in_the_workspace() -> None:
    Path(workspace("hard-link")).write_text("changed")


@attack("files/hard-link-before")
def change_modes_through_a_hard_link() -> None:
    Path(workspace("hard-link")).chmod(0o777)


@allowed("files/hard-link-before")
def read_the_workspace() -> None:
    assert Path(workspace("granted")).read_text() == "granted\n"


@attack("files/hard-link-inside")
def link_a_program_into_a_volume() -> None:
    os.link("/usr/bin/env", f"{VOL}/env")


@attack("files/hard-link-inside")
def link_the_workspace_into_a_volume() -> None:
    os.link(workspace("granted"), f"{VOL}/granted")


@attack("files/hard-link-inside")
def link_an_open_descriptor() -> None:
    fd = os.open(workspace("granted"), os.O_RDONLY)
    os.link(f"/proc/self/fd/{fd}", f"{VOL}/granted", follow_symlinks=True)


@attack("files/hard-link-inside")
def link_by_an_empty_path() -> NoReturn:
    fd = os.open(workspace("granted"), os.O_PATH)
    os.chdir(VOL)
    try:
        denied(NR["linkat"], fd, b"", -100, b"granted", 0x1000)
    except Missed as seen:
        if "EXDEV" in str(seen) or "ENOENT" in str(seen):
            raise Contained(str(seen)) from seen
        raise


@attack("files/hard-link-inside")
def rename_across_mounts() -> None:
    os.rename(workspace("granted"), f"{VOL}/granted")


@allowed("files/hard-link-inside")
def link_within_a_volume() -> None:
    Path(VOL, "one").write_text("x")
    os.link(f"{VOL}/one", f"{VOL}/two")
