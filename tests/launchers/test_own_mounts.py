"""A root daemon starts its bubblewraps among mounts of its own, which follow the host's."""

import os
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from hutch_launchers import proc
from hutch_launchers.launcher import LauncherError
from hutch_launchers.methods.bubblewrap.own_mounts import OwnMounts, spawner_with
from hutch_launchers.root_owned import NOBODY, own_devices
from hutch_launchers.spawner import Spawner
from hutch_launchers.spec import Mount
from support.launcher_methods import available, code, run, sh, spec
from support.needs import need

WORK = PurePosixPath("/workspace")


@pytest.fixture(autouse=True)
def _by_root() -> None:
    need("root", os.geteuid() == 0, "the right to mount", "run the tests as root")


async def test_nodes_in_a_sandbox_are_nobodys_and_the_hosts_stay_roots() -> None:
    launcher = await available("bubblewrap")
    names = "null zero full random urandom tty"
    done = await run(launcher, spec(sh(f"cd /dev; chmod 600 {names} 2>/dev/null; stat -c '%a %u' {names}")))
    assert (done.status, set(done.text.splitlines())) == (code(0), {"666 65534"})
    assert all(Path("/dev", name).stat().st_uid == 0 for name in names.split())
    assert spawner_with(own_devices()) is not None  # so they were not bound by bubblewrap


async def test_what_the_host_mounts_later_is_seen_and_what_it_takes_away_is_gone(tmp_path: Path) -> None:
    launcher = await available("bubblewrap")
    place = tmp_path / "place"
    place.mkdir()

    async def seen() -> str:
        return (await run(launcher, spec(sh("ls", cwd=str(WORK)), mounts=(Mount(place, WORK),)))).text

    (place / "below").touch()
    assert await seen() == "below\n"
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    try:
        (place / "above").touch()
        assert await seen() == "above\n"
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert await seen() == "below\n"


def test_a_child_sees_no_control_groups_and_the_host_keeps_its_mounts() -> None:
    groups = proc.mount_points({"cgroup", "cgroup2"})  # others mount other things meanwhile
    spawner = spawner_with(own_devices())
    assert spawner is not None

    def look() -> tuple[str, int]:
        table = Path("/proc/thread-self/mountinfo").read_text()
        return table, Path("/dev/null").stat().st_uid

    table, owner = spawner.run(look)
    assert " - cgroup" not in table
    assert " - tmpfs" in table or " - ext" in table
    assert owner == NOBODY
    assert proc.mount_points({"cgroup", "cgroup2"}) == groups
    assert Path("/dev/null").stat().st_uid == 0


def test_without_its_nodes_nothing_is_started(tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.touch()
    spawner = Spawner(OwnMounts([(str(node), str(tmp_path / "absent"))]).prepare)
    for _ in range(2):  # also not the second time
        with pytest.raises(LauncherError) as refused:
            spawner.run(lambda: pytest.fail("it was started"))
        assert refused.value.code == "sandbox_failed"
    assert spawner_with(((str(node), str(tmp_path / "absent")),)) is None
