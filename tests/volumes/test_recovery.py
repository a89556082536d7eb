"""What a killed daemon leaves in working folders: committed, or kept in a conflict fork; never lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hutch.volumes import DirectoryStore, Recovered, VolumeName, Volumes
from support.volume_engine import WEB, commit_files, program, run_on, tree_of, tree_on_disk


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")


@pytest.fixture
def kill_a_daemon(tmp_path: Path) -> Callable[[], None]:
    """One that leased the volume, wrote `work` into its folder, and was killed."""

    def kill() -> None:
        with program("sleep", str(tmp_path / "store"), str(tmp_path / "cache")) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"

    return kill


def change_mark(tmp_path: Path, **changes: object) -> None:
    path = tmp_path / "cache/default/web/mark"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


async def test_work_of_a_killed_daemon_is_committed(
    volumes: Volumes, kill_a_daemon: Callable[[], None]
) -> None:
    await commit_files(volumes, {"a": b"1"})
    kill_a_daemon()
    assert await volumes.recover() == (Recovered("web", 3),)  # 2 is the fence
    assert await tree_of(volumes) == {"/a": b"1", "/work": b"of the sleeper"}
    newest = (await volumes.log(WEB))[0]
    assert (newest.number, newest.run_id) == (3, "sleeper")
    assert (await volumes.info(WEB)).held_by is None
    assert await volumes.recover() == ()


async def test_work_on_a_volume_that_was_taken_over_becomes_a_conflict_fork(
    volumes: Volumes, kill_a_daemon: Callable[[], None], tmp_path: Path
) -> None:
    await commit_files(volumes, {"a": b"1", "large": bytes(3_000_000)})
    kill_a_daemon()
    await commit_files(
        Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "elsewhere"), {"a": b"taken over"}
    )
    (kept,) = await volumes.recover()
    assert (kept.name, kept.snapshot, kept.problem) == ("web", None, None)
    assert kept.conflict is not None
    conflict = VolumeName.parse(kept.conflict)
    assert conflict.is_conflict
    assert await tree_of(volumes) == {"/a": b"taken over", "/large": bytes(3_000_000)}
    assert await tree_of(volumes, name=conflict) == {
        "/a": b"1",
        "/large": bytes(3_000_000),
        "/work": b"of the sleeper",
    }
    for name in (WEB, conflict):
        assert (await volumes.check(name)).problems == ()
    async with run_on(volumes) as (_, folder):
        assert tree_on_disk(folder) == await tree_of(volumes)
    async with run_on(volumes, name=conflict) as (lease, folder):
        (folder / "a").write_bytes(b"goes on")
        await volumes.commit(lease, "run 5")
    assert (await tree_of(volumes, name=conflict))["/a"] == b"goes on"


async def test_work_is_kept_apart_while_someone_else_holds_the_volume(
    volumes: Volumes, kill_a_daemon: Callable[[], None], tmp_path: Path
) -> None:
    kill_a_daemon()
    elsewhere = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "elsewhere")
    async with run_on(elsewhere, "other"):
        (kept,) = await volumes.recover()
    assert kept.conflict is not None
    assert await tree_of(volumes, name=VolumeName.parse(kept.conflict)) == {"/work": b"of the sleeper"}


async def test_a_living_daemon_is_not_disturbed_by_another_that_recovers(
    volumes: Volumes, tmp_path: Path
) -> None:
    async with run_on(volumes) as (lease, folder):
        (folder / "a").write_bytes(b"1")
        other = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")
        assert await other.recover() == ()
        assert await volumes.commit(lease, "run 1") is not None
    assert (await volumes.info(WEB)).snapshot == 1


async def test_a_folder_that_was_half_restored_is_made_anew(volumes: Volumes, tmp_path: Path) -> None:
    await commit_files(volumes, {"a": b"1", "b": b"2"})
    change_mark(tmp_path, phase="restoring")
    (tmp_path / "cache/default/web/tree/a").write_bytes(b"half")
    assert await volumes.recover() == ()
    async with run_on(volumes) as (_, folder):
        assert tree_on_disk(folder) == {"/a": b"1", "/b": b"2"}


@pytest.mark.parametrize("phase", ["clean", "leased"])
async def test_after_a_power_cut_a_folder_that_differs_is_kept_apart(
    volumes: Volumes, tmp_path: Path, phase: str
) -> None:
    await commit_files(volumes, {"a": b"whole"})
    mark = json.loads((tmp_path / "cache/default/web/mark").read_text())
    change_mark(tmp_path, phase=phase, process=mark["process"] | {"boot": "the one before"})
    (tmp_path / "cache/default/web/tree/a").write_bytes(b"")
    async with run_on(volumes) as (_, folder):
        assert tree_on_disk(folder) == {"/a": b"whole"}
    assert await tree_of(volumes) == {"/a": b"whole"}
    conflict = [info.name for info in await volumes.list() if "@" in info.name]
    assert await tree_of(volumes, name=VolumeName.parse(conflict[0])) == {"/a": b""}


@pytest.mark.parametrize("damage", ["remove", "empty", "flip"])
async def test_a_lost_index_costs_time_and_nothing_else(
    volumes: Volumes, tmp_path: Path, damage: str
) -> None:
    await commit_files(volumes, {"a": b"1", "d/b": b"2"})
    index = tmp_path / "cache/default/web/index"
    data = bytearray(index.read_bytes())
    data[-5] ^= 1
    index.unlink()
    if damage != "remove":
        index.write_bytes(b"" if damage == "empty" else data)
    fresh = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")
    async with run_on(fresh) as (lease, folder):
        assert await fresh.commit(lease, "run 2") is None
        assert tree_on_disk(folder) == {"/a": b"1", "/d": None, "/d/b": b"2"}


async def test_a_folder_that_cannot_be_understood_is_set_aside(volumes: Volumes, tmp_path: Path) -> None:
    await commit_files(volumes, {"a": b"1"})
    place = tmp_path / "cache/default/web"
    (place / "tree/a").write_bytes(b"who knows")
    (place / "mark").write_text("{")
    async with run_on(volumes) as (_, folder):
        assert tree_on_disk(folder) == {"/a": b"1"}
    (aside,) = place.glob("tree-of-unknown-origin-*")
    assert (aside / "a").read_bytes() == b"who knows"


async def test_a_store_that_was_set_back_is_believed_and_local_work_kept_apart(
    volumes: Volumes, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    await commit_files(volumes, {"a": b"1"})
    shutil.copytree(store, tmp_path / "backup")
    await commit_files(volumes, {"a": b"2"})
    await commit_files(volumes, {"a": b"3"})
    shutil.rmtree(store)
    shutil.copytree(tmp_path / "backup", store)
    for daemon in (volumes, Volumes(DirectoryStore(store), tmp_path / "cache")):
        assert await tree_of(daemon) == {"/a": b"1"}
        async with run_on(daemon) as (lease, folder):
            assert (folder / "a").read_bytes() == b"1"
            (folder / "b").write_bytes(str(daemon).encode())
            assert await daemon.commit(lease, "on") is not None
        next(store.glob(f"volumes/default/web/*/log/{2:020}")).unlink()
        shutil.copyfile(tmp_path / "backup/leases/default/web", store / "leases/default/web")
        assert list((tmp_path / "cache/default/web").glob("tree-of-unknown-origin-*/a"))
    assert (await volumes.check(WEB)).problems == ()
