"""Why a host lets no sandbox be made, told from its files: hosts are imitated by folders."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hutch_launchers.containers.launcher import Found
from hutch_launchers.methods.podman import PodmanLauncher
from hutch_launchers.user_namespaces import (
    Host,
    Obstacle,
    apparmor_profile,
    find_mapping_obstacle,
    find_obstacle,
)

BWRAP = "/usr/bin/bwrap"
RESTRICTED = {"proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}
PROFILE = "abi <abi/4.0>,\nprofile bwrap /usr/bin/bwrap flags=(attach_disconnected) {\n  allow userns,\n}\n"
OTHERS = "profile chrome /opt/chrome flags=(unconfined) {\n  userns,\n}\n"
STATUS = "Name:\tpython\nNoNewPrivs:\t0\nSeccomp:\t2\n"
COVERED = "36 25 0:30 / /proc rw - proc proc rw\n37 36 0:31 / /proc/kcore rw - tmpfs tmpfs rw\n"


def imitate(root: Path, files: Mapping[str, str], uid: int = 1000) -> Host:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Host(root, uid)


@pytest.mark.parametrize(
    ("files", "reason", "fix"),
    [
        ({"proc/sys/kernel/osrelease": "4.4.0-19041-Microsoft"}, "WSL version 1", "wsl --set-version"),
        (
            {
                "proc/sys/user/max_user_namespaces": "0",
                "etc/sysctl.d/60-hard.conf": "user.max_user_namespaces = 0\n",
            },
            "/etc/sysctl.d/60-hard.conf",
            "sysctl user.max_user_namespaces=",
        ),
        ({"proc/sys/kernel/unprivileged_userns_clone": "0"}, "only root may", "run the daemon as root"),
        (RESTRICTED, "AppArmor keeps /usr/bin/bwrap", "> /etc/apparmor.d/hutch-bwrap"),
        (RESTRICTED | {"etc/apparmor.d/chrome": OTHERS}, "AppArmor", "> /etc/apparmor.d/hutch-bwrap"),
        (
            RESTRICTED | {"usr/share/apparmor/extra-profiles/bwrap-userns-restrict": PROFILE},
            "not in force",
            "cp /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/",
        ),
        (
            RESTRICTED | {"etc/apparmor.d/bwrap-userns-restrict": PROFILE},
            "may not be loaded",
            "apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict",
        ),
        (
            RESTRICTED
            | {
                "etc/apparmor.d/bwrap": PROFILE,
                "sys/kernel/security/apparmor/profiles": "bwrap (enforce)\nman (enforce)\n",
            },
            "its own words",
            "dmesg",
        ),
        ({".dockerenv": "", "proc/self/status": STATUS}, "system call filter", "--security-opt seccomp=FILE"),
        (
            {"run/.containerenv": "", "proc/self/mountinfo": COVERED},
            "covers parts of /proc",
            "unmask=/proc/*",
        ),
        ({"proc/self/status": STATUS}, "its own words", "dmesg"),  # a filter of its own, in no container
        ({"proc/sys/kernel/osrelease": "5.15.0-microsoft-standard-WSL2"}, "its own words", "dmesg"),
    ],
)
def test_an_obstacle_is_told_with_its_exact_fix(
    tmp_path: Path, files: Mapping[str, str], reason: str, fix: str
) -> None:
    obstacle = find_obstacle(BWRAP, "its own words", imitate(tmp_path, files))
    assert reason in obstacle.reason
    assert fix in obstacle.fix
    for switched_off in ("restrict_unprivileged_userns=0", "seccomp=unconfined", "aa-disable", "privileged "):
        assert switched_off not in obstacle.fix


def test_what_binds_ordinary_users_alone_is_no_obstacle_to_root(tmp_path: Path) -> None:
    files = RESTRICTED | {"proc/sys/kernel/unprivileged_userns_clone": "0"}
    assert find_obstacle(BWRAP, "its own words", imitate(tmp_path, files, uid=0)).reason == "its own words"


def test_no_profile_is_advised_for_a_file_that_others_may_replace(tmp_path: Path) -> None:
    own = "/home/u/venv/bwrap"
    host = imitate(tmp_path, RESTRICTED | {own.lstrip("/"): ""})
    (tmp_path / own.lstrip("/")).chmod(0o777)
    obstacle = find_obstacle(own, "", host)
    assert "no profile can safely name it" in obstacle.reason
    assert "apt install bubblewrap" in obstacle.fix


def test_the_profile_is_for_one_program_and_gives_one_right() -> None:
    assert apparmor_profile(BWRAP) == (
        "abi <abi/4.0>,\ninclude <tunables/global>\n"
        "profile hutch-bwrap /usr/bin/bwrap flags=(unconfined) {\n  userns,\n}\n"
    )


def test_what_a_rootless_container_misses_is_told_one_after_another(tmp_path: Path) -> None:
    host = imitate(tmp_path, {"proc/self/status": "NoNewPrivs:\t1\n"})
    seen = []
    for repair in (_install, _make_setuid, _allow_privileges, _give_ids):
        obstacle = find_mapping_obstacle("ann", host)
        assert obstacle is not None
        seen.append(obstacle.fix)
        repair(tmp_path)
    assert find_mapping_obstacle("ann", host) is None
    assert find_mapping_obstacle("bob", host) is not None
    assert find_mapping_obstacle("bob", Host(tmp_path, uid=0)) is None
    assert [word in fix for word, fix in zip(_FIXES, seen, strict=True)] == [True] * 4


_FIXES = ("apt install uidmap", "chmod u+s /usr/bin/newuidmap", "NoNewPrivileges", "--add-subuids")


def _install(root: Path) -> None:
    (root / "usr/bin").mkdir(parents=True)
    for name in ("newuidmap", "newgidmap"):
        (root / "usr/bin" / name).touch(mode=0o755)


def _make_setuid(root: Path) -> None:
    for name in ("newuidmap", "newgidmap"):
        (root / "usr/bin" / name).chmod(0o4755)


def _allow_privileges(root: Path) -> None:
    (root / "proc/self/status").write_text("NoNewPrivs:\t0\n")


def _give_ids(root: Path) -> None:
    (root / "etc").mkdir()
    for name in ("subuid", "subgid"):
        (root / "etc" / name).write_text("zoe:100000:65536\nann:165536:65536\n")


async def test_podman_without_mapped_users_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    podman = tmp_path / "podman"
    podman.write_text(
        '#!/bin/sh\n[ "$1" = version ] && echo 5.0.0 || { echo "no such range" >&2; exit 125; }\n'
    )
    podman.chmod(0o755)

    class Rootless(PodmanLauncher):
        def find(self) -> Found:
            return replace(super().find(), maps_users=True)

    missing = Obstacle("newuidmap is not installed", "as root: apt install uidmap")
    monkeypatch.setattr("hutch_launchers.containers.launcher.find_mapping_obstacle", lambda: missing)
    probe = await Rootless(command=(str(podman),), probe_cache=tmp_path / "probes").probe()
    assert (probe.available, probe.version) == (False, "5.0.0")
    assert (probe.reason, probe.fix) == (missing.reason, missing.fix)
