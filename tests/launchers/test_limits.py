"""Limits that hold, by control groups and without them."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hutch_launchers import limits as limits_module
from hutch_launchers.cgroup import make_group
from hutch_launchers.hierarchy import Hierarchy, find_hierarchy, find_v1, find_v2
from hutch_launchers.limits import mechanisms
from hutch_launchers.spec import ExitStatus, Guarantee, Limits
from support.launcher_leftovers import groups_of
from support.launcher_methods import LAUNCHERS, LIMITS, code, python, run, sh, spec, without_limits

BUBBLEWRAP = LAUNCHERS["bubblewrap"]
BALLOON = "x = bytearray(1 << 30); x[::4096] = x[::4096]; print(len(x))"
FORKS = """
import os, signal
count = 0
try:
    while count < 200:
        if os.fork() == 0:
            signal.pause()
        count += 1
except OSError as error:
    print(count + 1, error.errno)
"""


@pytest.fixture(params=["as the host has it", "without control groups"])
def mechanism(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "without control groups":
        monkeypatch.setattr(limits_module, "find_hierarchy", lambda: None)
    return str(request.param)


async def test_a_memory_balloon_is_ended_and_the_limit_named(mechanism: str) -> None:
    done = await run(BUBBLEWRAP, spec(python(BALLOON)))
    if find_hierarchy() and mechanism == "as the host has it":
        assert done.status == ExitStatus(code=137, signal=None, limit=Guarantee.MEMORY)
    assert (done.status.code, done.out) != (0, b"1073741824\n")


@pytest.mark.usefixtures("mechanism")
async def test_many_small_processes_together_are_held_to_the_memory_limit() -> None:
    source = """
import os, signal, time
pids = []
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        x = bytearray(32 << 20); x[::4096] = x[::4096]
        signal.pause()
    pids.append(pid)
while len(pids) > 4:
    time.sleep(0.05)
    pids = [pid for pid in pids if os.waitpid(pid, os.WNOHANG) == (0, 0)]
print(len(pids))
"""
    done = await run(BUBBLEWRAP, spec(python(source)))
    if done.status == code(0):  # the kernel chose some of them
        assert 0 < int(done.out) <= 4
    else:
        assert (done.status.limit, done.out) == (Guarantee.MEMORY, b"")


async def test_a_fork_bomb_stays_inside_its_limit(mechanism: str) -> None:
    if mechanism == "without control groups" and os.geteuid() == 0:
        pytest.skip("RLIMIT_NPROC does not hold root; the probe says so")
    done = await run(BUBBLEWRAP, spec(python(FORKS), limits=replace(LIMITS, memory_bytes=None)))
    assert done.text == "32 11\n"
    assert done.status == code(0)  # it met its limit, and took that well


async def test_a_command_that_failed_at_its_limit_of_processes_is_told_so(mechanism: str) -> None:
    if mechanism == "without control groups" and os.geteuid() == 0:
        pytest.skip("RLIMIT_NPROC does not hold root; the probe says so")
    source = FORKS + "signal.sigtimedwait([], 0.5)\nraise SystemExit(3)"  # for one look, where nobody counts
    done = await run(BUBBLEWRAP, spec(python(source), limits=replace(LIMITS, memory_bytes=None)))
    assert done.status == ExitStatus(code=3, signal=None, limit=Guarantee.PIDS)


@pytest.mark.parametrize("folder", ["/tmp", "/home/agent", "/dev/shm"])
async def test_a_command_that_failed_with_a_private_folder_full_is_told_so(folder: str) -> None:
    fill = f"read -r go; cat /dev/zero > {folder}/x"  # by then it is held from outside, see 0005
    done = await run(BUBBLEWRAP, spec(sh(fill)), b"go\n")
    assert done.status == ExitStatus(code=1, signal=None, limit=Guarantee.DISK)
    emptied = await run(BUBBLEWRAP, spec(sh(f"cat /dev/zero > {folder}/x; rm {folder}/x; exit 1")))
    assert emptied.status == code(1)


async def test_a_failure_with_room_left_is_just_a_failure(mechanism: str) -> None:
    assert mechanism
    assert (await run(BUBBLEWRAP, spec(sh("exit 7")))).status == code(7)


async def test_private_folders_together_stay_inside_the_disk_limit() -> None:
    fill = "for d in /tmp ~ /dev/shm; do head -c 64M /dev/zero > $d/x; done 2>/dev/null"
    script = f"{fill}; cat /tmp/x ~/x /dev/shm/x | wc -c"
    done = await run(BUBBLEWRAP, spec(sh(script, env={"HOME": "/home/agent"})))
    assert int(done.text) == LIMITS.disk_bytes


async def test_open_files_and_core_dumps_are_limited_and_cannot_be_raised() -> None:
    limits = replace(LIMITS, open_files=77)
    done = await run(BUBBLEWRAP, spec(sh("ulimit -n; ulimit -Hn; ulimit -c; ulimit -n 78"), limits=limits))
    assert (done.status, done.text) == (code(2), "77\n77\n0\n")


@pytest.mark.usefixtures("mechanism")
async def test_two_cpus_worth_of_work_get_the_one_that_is_allowed() -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one CPU cannot be exceeded")
    source = """
import os, resource, time
try:
    os.sched_setaffinity(0, range(os.cpu_count()))
except OSError:
    pass
until = time.monotonic() + 0.6
pids = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        while time.monotonic() < until:
            pass
        os._exit(0)
    pids.append(pid)
for pid in pids:
    os.waitpid(pid, 0)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print((used.ru_utime + used.ru_stime) / 0.6)
"""
    done = await run(BUBBLEWRAP, spec(python(source)))
    assert float(done.text) < 1.4


async def test_without_limits_nothing_is_made_that_limits() -> None:
    sandbox = spec(sh("echo ready; read -r x"), limits=without_limits())
    async with BUBBLEWRAP.launch(sandbox) as process:
        await process.stdout.receive()
        assert {group.parent.parent.name for group in groups_of(sandbox.run_id)} <= {"freezer"}


async def test_the_mechanisms_are_told_for_the_record() -> None:
    hierarchy = find_hierarchy()
    told = mechanisms(Limits(wall_s=1, memory_bytes=1, pids=1))
    by = (
        {f"cgroup v{hierarchy.version}"}
        if hierarchy
        else {"RLIMIT_DATA and a watch over the sum", "RLIMIT_NPROC"}
    )
    assert (set(told), set(told.values())) == ({Guarantee.MEMORY, Guarantee.PIDS}, by)


def tree(root: Path, files: dict[str, str]) -> Path:
    """A folder that looks like a control group file system, for what only reads and writes its files."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_version_2_takes_the_nearest_group_whose_children_have_the_controllers(tmp_path: Path) -> None:
    mount = tree(
        tmp_path,
        {
            "cgroup.controllers": "cpu memory pids",
            "user/cgroup.controllers": "memory pids",
            "user/cgroup.subtree_control": "memory pids",
            "user/cgroup.procs": "",
            "user/app/cgroup.controllers": "memory pids",
            "user/app/cgroup.subtree_control": "",
            "user/app/cgroup.procs": "1\n2\n",
            "user/hutch/cgroup.subtree_control": "",
        },
    )
    found = find_v2("0::/user/app\n", mount)
    assert found is not None
    assert found == Hierarchy(2, dict.fromkeys(("memory", "pids"), tmp_path / "user/hutch"), {})


def test_version_2_is_not_used_where_processes_could_not_be_moved(tmp_path: Path) -> None:
    mount = tree(tmp_path, {"cgroup.controllers": "memory", "a/cgroup.controllers": "memory"})
    assert find_v2("0::/a\n", mount) is None


def test_version_2_settings_are_these(tmp_path: Path) -> None:
    hierarchy = Hierarchy(2, dict.fromkeys(("memory", "pids", "cpu"), tmp_path), {})
    limits = Limits(wall_s=1, memory_bytes=1000, pids=5, cpus=0.5)
    group = make_group(hierarchy, "run", limits)
    assert group is not None
    written = {path.name: path.read_text() for path in (tmp_path / "run").iterdir()}
    assert written == {"memory.max": "1000", "pids.max": "7", "cpu.max": "50000 100000"}
    group.add(123)
    assert (tmp_path / "run" / "cgroup.procs").read_text() == "123"
    (tmp_path / "run" / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    assert group.oom_kills() == 1
    assert group.freezer is None
    (tmp_path / "run" / "cgroup.freeze").write_text("0")
    assert group.freezer is not None
    group.freezer.set(on=True)
    assert (tmp_path / "run" / "cgroup.freeze").read_text() == "1"
    with pytest.raises(FileExistsError):
        make_group(hierarchy, "run", limits)


def test_version_1_finds_each_controller_with_its_own_folder(tmp_path: Path) -> None:
    mount = tree(tmp_path, {"memory/a/tasks": "", "cpu/tasks": "", "devices/tasks": ""})
    found = find_v1("4:memory:/a\n3:cpu,cpuacct:/\n6:devices:/\n0::/\n", mount)
    assert found == Hierarchy(
        1,
        {"memory": tmp_path / "memory/hutch", "cpu": tmp_path / "cpu/hutch"},
        {"memory": tmp_path / "memory/a", "cpu": tmp_path / "cpu"},
    )


async def test_a_killed_child_does_not_blame_the_limit_for_a_later_failure() -> None:
    done = await run(BUBBLEWRAP, spec(sh(f'python3 -c "{BALLOON}"; exit 4')))
    assert done.status == code(4)
