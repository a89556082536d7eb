"""A write that was given up and takes effect later, however late, does no harm."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import (
    ConflictError,
    LeaseLostError,
    MemoryStore,
    ObjectInfo,
    ObjectStore,
    StoreError,
    VolumeName,
    Volumes,
)
from hutch.volumes.stores.protocol import Condition
from support.volume_engine import WEB, HandClock, OtherMachine, commit_files, run_on, tree_of, tree_on_disk

LARGE = bytes(range(256)) * 4000


class Late:
    """The way to a store on which writes are held up: their senders give up, and `arrive` lets them go on."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self.holds_up = ""  # keys with this in them
        self._held: list[Callable[[], Awaitable[str]]] = []

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        return await self._inner.get(key, start=start, end=end)

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        if self.holds_up and self.holds_up in key:
            self._held.append(lambda: self._inner.put(key, data, if_match=if_match))
            raise StoreError("no answer came")
        return await self._inner.put(key, data, if_match=if_match)

    async def delete(self, key: str) -> None:
        await self._inner.delete(key)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        async for info in self._inner.list(prefix):
            yield info

    async def arrive(self) -> Sequence[bool]:
        """Whether each of the writes was taken."""
        self.holds_up, held, self._held = "", self._held, []
        taken = []
        for write in held:
            try:
                await write()
            except ConflictError:
                taken.append(False)
            else:
                taken.append(True)
        return taken


class Scene:
    """A holder behind a bad network, and what it had begun to commit."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock = HandClock()
        self.store = MemoryStore(self.clock.now)
        self.late = Late(self.store)
        self.ours = Volumes(self.late, tmp_path / "ours", clock=self.clock)
        self.theirs = Volumes(self.store, tmp_path / "theirs", clock=self.clock)


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    await commit_files(made.theirs, {"a": b"1"})
    return made


async def test_an_entry_that_comes_after_a_take_over_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OtherMachine(monkeypatch):
        holding = run_on(scene.ours, "holder")
        lease, folder = await holding.__aenter__()
    (folder / "a").write_bytes(b"late")
    scene.late.holds_up = "/log/"
    with pytest.raises(StoreError):
        await scene.ours.commit(lease, "holder")
    scene.clock.move(200)
    async with run_on(scene.theirs, "contender") as (their_lease, their_folder):
        assert await scene.late.arrive() == [False]
        assert tree_on_disk(their_folder) == {"/a": b"1"}
        (their_folder / "b").write_bytes(b"2")
        await scene.theirs.commit(their_lease, "contender")
        with pytest.raises(LeaseLostError) as lost:
            await scene.ours.commit(lease, "holder")
    await holding.__aexit__(None, None, None)
    assert await tree_of(scene.theirs) == {"/a": b"1", "/b": b"2"}
    kept = VolumeName.parse(lost.value.hint.split("'")[1])
    assert await tree_of(scene.theirs, name=kept) == {"/a": b"late"}


@pytest.mark.parametrize("data", [b"late", LARGE], ids=["an entry", "a pack"])
async def test_a_commit_that_comes_late_and_its_repetition_are_one(scene: Scene, data: bytes) -> None:
    for holds_up in ("/log/", "/packs/"):
        async with run_on(scene.ours, "holder") as (lease, folder):
            before = (await scene.ours.info(WEB)).snapshot
            (folder / "a").write_bytes(data + holds_up.encode())
            scene.late.holds_up = holds_up
            try:
                await scene.ours.commit(lease, "holder")
            except StoreError:
                await scene.late.arrive()
                await scene.ours.commit(lease, "holder")
            scene.late.holds_up = ""
        assert (await scene.theirs.info(WEB)).snapshot == before + 1
        assert await tree_of(scene.theirs) == {"/a": data + holds_up.encode()}
        assert (await scene.theirs.check(WEB)).problems == ()


@pytest.mark.parametrize("arrives", ["before the next run", "within it", "after it"])
async def test_a_run_that_ended_in_doubt_is_followed_at_once_by_the_next_of_its_daemon(
    scene: Scene, arrives: str
) -> None:
    async with run_on(scene.ours, "run 1") as (lease, folder):
        (folder / "a").write_bytes(b"late")
        scene.late.holds_up = "/log/"
        with pytest.raises(StoreError):
            await scene.ours.commit(lease, "run 1")
        scene.late.holds_up = "/none/"
    if arrives == "before the next run":
        assert await scene.late.arrive() == [True]
    async with run_on(scene.ours, "run 2") as (lease, folder):
        assert tree_on_disk(folder) == {"/a": b"late"}
        if arrives == "within it":
            assert await scene.late.arrive() == [False]
        (folder / "b").write_bytes(b"2")
        await scene.ours.commit(lease, "run 2")
    if arrives == "after it":
        assert await scene.late.arrive() == [False]
    assert await tree_of(scene.theirs) == {"/a": b"late", "/b": b"2"}
    assert [info.name for info in await scene.theirs.list()] == ["web"]
    assert (await scene.theirs.check(WEB)).problems == ()


async def test_a_lease_that_is_taken_late_is_taken_by_nobody(scene: Scene) -> None:
    scene.late.holds_up = "leases/"
    with pytest.raises(StoreError):
        await scene.ours.lease(WEB, "run 1").__aenter__()
    async with run_on(scene.theirs, "contender") as (lease, _):
        assert await scene.late.arrive() == [False]
        assert lease.token == 2
    async with run_on(scene.ours, "run 2") as (lease, _):
        assert lease.token == 3


async def test_a_lease_that_came_late_keeps_nobody_waiting_in_its_own_daemon(scene: Scene) -> None:
    scene.late.holds_up = "leases/"
    with pytest.raises(StoreError):
        await scene.ours.lease(WEB, "run 1").__aenter__()
    assert await scene.late.arrive() == [True]
    with pytest.raises(HutchError) as held:
        await scene.theirs.lease(WEB, "contender").__aenter__()
    assert held.value.code == "volume_held"
    async with run_on(scene.ours, "run 2") as (lease, _):
        assert lease.token == 3


async def test_a_lease_that_was_to_be_given_back_is_given_back_late(scene: Scene) -> None:
    async with run_on(scene.ours, "run 1"):
        scene.late.holds_up = "leases/"
    scene.late.holds_up = "/none/"
    async with run_on(scene.ours, "run 2") as (lease, folder):
        assert await scene.late.arrive() == [False]
        (folder / "b").write_bytes(b"2")
        await scene.ours.commit(lease, "run 2")
    assert (await scene.theirs.info(WEB)).held_by is None


async def test_what_comes_late_of_a_removal_does_not_remove_what_is_in_use(scene: Scene) -> None:
    scene.late.holds_up = "leases/"
    with pytest.raises(HutchError):
        await scene.ours.remove(WEB)
    async with run_on(scene.theirs, "contender") as (lease, folder):
        assert not any(await scene.late.arrive())
        (folder / "b").write_bytes(b"2")
        await scene.theirs.commit(lease, "contender")
    assert await tree_of(scene.theirs) == {"/a": b"1", "/b": b"2"}


@pytest.mark.parametrize("arrives", ["before the end", "after it"])
async def test_what_was_undone_while_its_commit_was_in_doubt_does_not_come_back(
    scene: Scene, arrives: str
) -> None:
    async with run_on(scene.ours, "run 1") as (lease, folder):
        (folder / "b").write_bytes(b"2")
        scene.late.holds_up = "/log/"
        with pytest.raises(StoreError):
            await scene.ours.commit(lease, "run 1")
        (folder / "b").unlink()
        scene.late.holds_up = "/none/"
        if arrives == "before the end":
            assert await scene.late.arrive() == [True]
        await scene.ours.commit(lease, "run 1")
    if arrives == "after it":
        assert await scene.late.arrive() == [False]
    assert await tree_of(scene.theirs) == {"/a": b"1"}
    assert (await scene.theirs.info(WEB)).held_by is None
    async with run_on(scene.ours, "run 2") as (_, folder):
        assert tree_on_disk(folder) == {"/a": b"1"}
