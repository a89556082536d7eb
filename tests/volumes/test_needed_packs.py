"""Packs that only a checkpoint tells, because the entries that brought them are thinned out."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hutch.volumes import FaultyStore, MemoryStore, StoreError, VolumeName, Volumes
from hutch.volumes.failures import DamagedError
from hutch.volumes.log.state import State, packs_needed
from hutch.volumes.names import Identity
from hutch.volumes.tree.nodes import EMPTY, File
from hutch.volumes.tree.packs import Pack
from support.volume_engine import WEB, HandClock, commit_files, copy_of, error_of, keys_of, run_on, tree_of
from support.volume_history import COPY, DAY_S, code_of, content, thin_and_collect

FIRST = {"small": b"lies in entry 1", "large": content(1), "gone": content(2)}
TREE = {"/large": content(1), "/small": b"lies in entry 1"}


@pytest.fixture
def store(clock: HandClock) -> MemoryStore:
    return MemoryStore(clock.now)


async def notes(volumes: Volumes, numbers: range, name: VolumeName = WEB) -> None:
    for number in numbers:
        await volumes.write(name, "/note", b"%d" % number, mode="overwrite")


async def old_content(volumes: Volumes, entries: int, name: VolumeName = WEB) -> None:
    """Content in entry 1 itself, then in two packs, of which one is needed no more from entry 4 on."""
    for path, data in FIRST.items():
        await commit_files(volumes, {path: data}, name)
    async with run_on(volumes, "run 4", name) as (lease, folder):
        (folder / "gone").unlink()
        await volumes.commit(lease, "run 4")
    await notes(volumes, range(5, entries + 1), name)


def test_a_tree_needs_the_packs_that_its_files_name_and_no_others() -> None:
    name = "0" * 64
    packs = {number: Pack(number, f"packs/{number:064}", 9, ()) for number in (1, 2, 3)}
    at = File(0o644, 0, 5, hash=name, at=(1, 0, 0))
    blocks = File(0o644, 0, 5, blocks=((3, 0, 1),))
    tree = EMPTY._replace(children={b"a": at, b"d": EMPTY._replace(children={b"b": blocks})})
    state = State(*Identity(WEB, "0" * 32), 1, name, tree=tree, packs=packs)
    assert packs_needed(state) == {1: packs[1], 3: packs[3]}
    for lost, path in ((1, "/a"), (3, "/d/b")):
        fewer = replace(state, packs={number: pack for number, pack in packs.items() if number != lost})
        with pytest.raises(DamagedError, match=f"a pack of '{path}' is not told"):
            packs_needed(fewer)


async def test_a_collection_leaves_what_only_a_checkpoint_tells(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path
) -> None:
    await old_content(volumes, 69)
    clock.move(2 * DAY_S)
    await thin_and_collect(volumes)
    left = await keys_of(store, "volumes/")
    assert len([key for key in left if "/packs/" in key]) == 1
    # What lies in entry 1 is needed, and the entry with it. It is no snapshot any more.
    assert [int(key[-20:]) for key in left if "/log/" in key][:2] == [1, 64]
    assert await code_of(volumes, 1) == "snapshot_unknown"
    for number in (67, 68, 69):
        reader = Volumes(store, tmp_path / f"reader-{number}", clock=clock)
        assert await tree_of(reader, number) == TREE | {"/note": b"%d" % number}
    assert (await volumes.check(WEB)).problems == ()
    # Content that is still there is used again, and what was deleted is put anew.
    await commit_files(volumes, {"again": content(1), "gone": content(2)})
    assert (await volumes.check(WEB)).problems == ()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_stop_at_any_write_of_a_checkpoint_or_a_collection_loses_no_pack(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path, after: bool
) -> None:
    await old_content(volumes, 64)
    clock.move(2 * DAY_S)

    async def work(door: Volumes) -> None:
        await notes(door, range(65, 68))  # one of them puts the checkpoint, the next one names it
        clock.move(2 * DAY_S)
        await thin_and_collect(door)

    began = clock.ticks
    for number in [*range(1, 16), *range(17, 100, 8)]:
        copy = await copy_of(store, clock.now)
        faulty = FaultyStore(copy, fail_at=number, after=after)
        with suppress(StoreError):
            await work(Volumes(faulty, tmp_path / f"writer-{number}", clock=clock))
        clock.move(1000)  # until the lease of one who died has run out
        door = Volumes(copy, tmp_path / "again", clock=clock)
        assert TREE.items() <= (await tree_of(door)).items()
        await notes(door, range(200, 203))
        await thin_and_collect(door)
        for reader in (door, Volumes(copy, tmp_path / "reader", clock=clock)):
            assert await tree_of(reader) == TREE | {"/note": b"202"}
            assert (await reader.check(WEB)).problems == ()
        clock.move(began - clock.ticks)
        if not faulty.has_failed:
            return
    raise AssertionError


async def test_a_checkpoint_of_a_state_that_lacks_a_pack_is_never_put(
    store: MemoryStore, volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await old_content(volumes, 60)

    def forgetful(state: State, **changes: Any) -> State:
        packs = {} if "tree" in changes else changes.get("packs", state.packs)
        return replace(state, **changes | {"packs": packs})

    monkeypatch.setattr("hutch.volumes.log.appending.replace", forgetful)
    await notes(volumes, range(61, 68))
    monkeypatch.undo()
    assert [key for key in await keys_of(store) if "/checkpoints/" in key] == []
    assert TREE.items() <= (await tree_of(volumes)).items()


async def test_where_a_checkpoint_lacks_a_pack_nothing_is_collected(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a writer with a fault would have made it."""
    await old_content(volumes, 64)
    fewer = "hutch.volumes.log.appending.packs_needed"
    monkeypatch.setattr(fewer, lambda state: dict(list(packs_needed(state).items())[1:]))
    await notes(volumes, range(65, 70))
    monkeypatch.undo()
    assert [key for key in await keys_of(store) if "/checkpoints/" in key]
    clock.move(2 * DAY_S)
    collector = Volumes(store, tmp_path / "collector", clock=clock)
    before = {*await keys_of(store)}
    assert (await error_of(lambda: thin_and_collect(collector))).code == "volume_damaged"
    after = {*await keys_of(store)}
    assert before <= after


async def test_a_parents_pack_that_only_a_checkpoint_of_the_fork_tells_keeps_the_parent(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path
) -> None:
    await commit_files(volumes, FIRST)
    await volumes.fork(WEB, COPY)
    await notes(volumes=volumes, numbers=range(1, 71), name=COPY)
    await volumes.remove(WEB)
    clock.move(8 * DAY_S)
    await thin_and_collect(volumes, COPY)
    assert (await volumes.gc(WEB)).volumes == 0
    reader = Volumes(store, tmp_path / "reader", clock=clock)
    assert await tree_of(reader, name=COPY) == TREE | {"/gone": content(2), "/note": b"70"}
