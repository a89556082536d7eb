"""Attacks by the kernel's settings, on the protected paths of a workspace, and on shared folders."""

import os
import stat
import tempfile
from pathlib import Path

from hutch_launchers.contract.attacks.inside import (
    HOME,
    VOL,
    Contained,
    allowed,
    attack,
    each_refused,
    workspace,
)

_SETTINGS = (
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/sysrq", "/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/hostname",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/fs/binfmt_misc/register", "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ping_group_range", "/proc/sys/fs/mqueue/msg_max",
    "/proc/sysrq-trigger", "/proc/acpi/wakeup", "/proc/bus/pci", "/proc/irq/default_smp_affinity",
    "/proc/mtrr",
    "/proc/timer_list", "/proc/scsi/scsi", "/proc/fs/jbd2",
)  # fmt: skip


@attack("files/kernel-settings")
def write_any_known_setting() -> str | None:
    for path in _SETTINGS:
        if _can_write(path):
            return path
    raise Contained("refused or absent, all of them")


@attack("files/kernel-settings")
def write_anything_in_proc() -> str | None:
    for root, folders, files in os.walk("/proc"):
        # in `pressure` one asks to be told, for as long as the file is open
        folders[:] = [f for f in folders if not f.isdigit() and f not in ("self", "thread-self", "pressure")]
        for name in files:
            path = os.path.join(root, name)
            if os.access(path, os.W_OK) and _can_write(path):
                return path
    raise Contained("nothing outside the process's own folder opens for writing")


@attack("files/kernel-settings")
def read_private_files_in_proc() -> str | None:
    for name in (
        "kallsyms",
        "kmsg",
        "kcore",
        "vmallocinfo",
        "slabinfo",
        "pagetypeinfo",
        "keys",
        "sysrq-trigger",
    ):
        try:
            content = Path("/proc", name).open("rb").read(4096)
        except OSError:
            continue
        addresses = {line.split()[0] for line in content.splitlines() if line.split()}
        if content and (name != "kallsyms" or addresses - {b"0000000000000000"}) and name != "keys":
            return f"/proc/{name} tells {content[:60]!r}"
    raise Contained("masked, refused or empty")


@attack("files/kernel-settings")
def reach_sys() -> str | None:
    for path in ("/sys/kernel/uevent_helper", "/sys/fs/cgroup/release_agent", "/sys/power/state"):
        if _can_write(path):
            return path
    for folder in ("/sys/kernel/debug", "/sys/kernel/tracing", "/sys/firmware"):
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        if names:
            return folder
    raise Contained("nothing of it can be written, and nothing private be listed")


@allowed("files/kernel-settings")
def read_common_files_in_proc() -> None:
    for name in ("cpuinfo", "meminfo", "stat", "loadavg", "version", "sys/kernel/hostname", "filesystems"):
        assert Path("/proc", name).read_bytes()


def _can_write(path: str) -> bool:
    try:
        opened = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    is_masked = stat.S_ISCHR(os.fstat(opened).st_mode)  # /dev/null over it
    os.close(opened)
    return not is_masked


_PROTECTED = (
    ".claude/settings.json", ".codex/config.toml", ".agents/x", ".mcp.json", ".vscode/tasks.json",
    ".idea/x", ".envrc",
    ".husky/pre-commit", ".bashrc", ".profile", ".git/hooks/pre-commit", ".git/config", ".gitmodules",
    ".hutch.toml",
)  # fmt: skip


@attack("files/read-only")
def create_what_an_editor_or_git_would_run() -> str | None:
    for name in _PROTECTED:
        path = Path(workspace(), name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        except OSError:
            continue
        return name
    raise Contained("the workspace is read-only")


@attack("files/read-only")
def move_delete_and_replace() -> None:
    each_refused(
        lambda: os.rename(workspace(".git"), workspace(".old")),
        lambda: os.unlink(workspace("granted")),
        lambda: os.symlink("/tmp", workspace(".husky")),
        lambda: os.mkdir(workspace(".claude")),
        lambda: os.chmod(workspace(), 0o777),
    )


@allowed("files/read-only")
def the_same_names_work_in_a_volume() -> None:
    for name in _PROTECTED:
        path = Path(VOL, "copy", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


@attack("files/private-folders")
def find_what_the_host_put_into_shared_folders() -> str | None:
    for folder in ("/tmp", "/dev/shm", "/var/tmp", "/run"):
        try:
            names = [name for name in os.listdir(folder) if name.startswith("hutch-canary")]
        except OSError:
            continue
        if names:
            return f"{folder}/{names[0]}"
    raise Contained("/tmp, /dev/shm, /var/tmp and /run are the sandbox's own")


@allowed("files/private-folders")
def use_them() -> None:
    for folder in (tempfile.gettempdir(), HOME):
        Path(folder, "hutch-from-inside").write_text("x")
