"""What can be done with a volume: steps that are stopped at each of their writes, and what must hold then."""

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from hutch.errors import HutchError
from hutch.volumes import MemoryStore, StoreError, Stream, VolumeName, Volumes
from support.volume_engine import WEB, HandClock, Tree, commit_files, copy_of, run_on, tree_of
from support.volume_history import COPY, DAY_S, LAST_TWO, assert_kept, grow, grown
from support.volume_model import Cable

OLDEST: Tree = {"/a": b"oldest"}
BASE: Tree = {"/a": b"old", "/d": None, "/d/b": b"stays"}
LARGE = b"".join(b"%06d" % number for number in range(120_000))  # more than an entry takes inline
LEFT = BASE | {"/a": b"left", "/large": LARGE}
THEIRS: Tree = {"/a": b"of another host"}
_LATER_S = 1000  # by then the lease of a dead holder has run out
_LONG_S = 20


@dataclass
class Scene:
    """A store, a host's cache, and a clock for everybody."""

    store: MemoryStore
    cache: Path
    clock: HandClock

    def volumes(self, cache: str = "") -> Volumes:
        return Volumes(self.store, self.cache.with_name(cache) if cache else self.cache, clock=self.clock)

    async def copied(self, cache: Path) -> "Scene":
        clock = HandClock()
        clock.move(self.clock.ticks - clock.ticks)
        if self.cache.exists():
            shutil.copytree(self.cache, cache, symlinks=True)
        return Scene(await copy_of(self.store, clock.now), cache, clock)


# What was before -------------------------------------------------------------


async def written_elsewhere(scene: Scene) -> None:
    elsewhere = scene.volumes("elsewhere")
    await commit_files(elsewhere, {"a": b"oldest"})
    await commit_files(elsewhere, {"a": b"old", "d/b": b"stays"})


async def tagged(scene: Scene) -> None:
    await written_elsewhere(scene)
    await scene.volumes("elsewhere").tag(WEB, "first", 1)


async def removed(scene: Scene) -> None:
    await written_elsewhere(scene)
    await scene.volumes("elsewhere").remove(WEB)


async def grown_old(scene: Scene) -> None:
    await grow(scene.volumes("elsewhere"), scene.clock, range(1, 8))


async def thinned(scene: Scene) -> None:
    await grown_old(scene)
    await scene.volumes("elsewhere").thin(WEB, LAST_TWO)


async def abandoned(scene: Scene) -> None:
    """Another host died while it held the volume."""
    await written_elsewhere(scene)
    await _die_on(scene, "dead")


async def left_behind(scene: Scene) -> None:
    """On this host a run died before its work was committed."""
    await written_elsewhere(scene)
    await _die_on(scene, scene.cache.name)


async def left_behind_and_taken_over(scene: Scene) -> None:
    """The same, and another host wrote since."""
    await left_behind(scene)
    other = scene.volumes("elsewhere")
    async with run_on(other, "other") as (lease, folder):
        shutil.rmtree(folder / "d")
        (folder / "a").write_bytes(b"of another host")
        await other.commit(lease, "other")


async def _die_on(scene: Scene, cache: str) -> None:
    cable = Cable(scene.store)
    async with run_on(Volumes(cable, scene.cache.with_name(cache), clock=scene.clock), "dead") as (_, folder):
        (folder / "a").write_bytes(b"left")
        (folder / "large").write_bytes(LARGE)
        cable.is_cut = True
    scene.clock.move(_LATER_S)


# Steps -----------------------------------------------------------------------


async def edit_and_commit(volumes: Volumes) -> None:
    async with run_on(volumes, "run 2") as (lease, folder):
        (folder / "a").write_bytes(b"new")
        (folder / "large").write_bytes(LARGE)
        await volumes.commit(lease, "run 2")
        (folder / "d/b").unlink(missing_ok=True)
        await volumes.commit(lease, "run 2")


async def stream_and_commit(volumes: Volumes) -> None:
    """The same in three commits, two of them while the run works."""
    async with run_on(volumes, "run 2") as (lease, folder):
        async with volumes.stream(lease, "run 2") as stream:
            (folder / "a").write_bytes(b"new")
            await commits(stream, 1)
            (folder / "large").write_bytes(LARGE)
            await commits(stream, 2)
        (folder / "d/b").unlink()
        await volumes.commit(lease, "run 2")


async def commits(stream: Stream, number: int) -> None:
    """Wait for so many commits of a stream, or until it tells that there is a problem."""
    with anyio.fail_after(_LONG_S):
        while stream.status.commits < number and not stream.status.problem:
            await anyio.sleep(0.005)


async def write_one(volumes: Volumes) -> None:
    await volumes.write(WEB, "/e/f", LARGE, mode="overwrite")


async def put_folder(volumes: Volumes) -> None:
    async with volumes.scratch() as source:
        (source / "f").write_bytes(LARGE)
        async with volumes.lease(WEB, "put") as lease:
            await volumes.put_folder(lease, "/e", source)


async def only_lease(volumes: Volumes) -> None:
    async with volumes.lease(WEB, "run 2"):
        pass


async def go_back(volumes: Volumes) -> None:
    await volumes.restore(WEB, 1, holder="run 2")


async def fork(volumes: Volumes) -> None:
    await volumes.fork(WEB, COPY, at=1)


async def write_to_fork(volumes: Volumes) -> None:
    with_fork = await volumes.list()
    if "copy" not in [info.name for info in with_fork]:
        await fork(volumes)
    await volumes.write(COPY, "/large", LARGE, mode="overwrite")


async def tag(volumes: Volumes) -> None:
    await volumes.tag(WEB, "first", 1)


async def untag(volumes: Volumes) -> None:
    await volumes.untag(WEB, "first")


async def remove(volumes: Volumes) -> None:
    await volumes.remove(WEB)


async def bring_back(volumes: Volumes) -> None:
    await volumes.bring_back(WEB)


async def thin(volumes: Volumes) -> None:
    await volumes.thin(WEB, LAST_TWO)


async def gc(volumes: Volumes) -> None:
    await volumes.gc(WEB)


async def recover(volumes: Volumes) -> None:
    for each in await volumes.recover():
        if each.problem:
            assert each.problem.startswith("store_unavailable: ")
            raise StoreError(each.problem)


# What must be in the end -----------------------------------------------------


async def nothing_more(volumes: Volumes) -> None:
    pass


async def the_fork_is_there(volumes: Volumes) -> None:
    assert await tree_of(volumes, name=COPY) == OLDEST
    await volumes.write(COPY, "/a", b"goes its own way", mode="overwrite")
    assert (await volumes.check(COPY)).problems == ()


async def the_fork_is_written(volumes: Volumes) -> None:
    assert await tree_of(volumes, name=COPY) == OLDEST | {"/large": LARGE}


async def the_tag_is_there(volumes: Volumes) -> None:
    assert [(tag.label, tag.number) for tag in await volumes.tags(WEB)] == [("first", 1)]


async def no_tag_is_there(volumes: Volumes) -> None:
    assert await volumes.tags(WEB) == ()


async def the_newest_are_kept(volumes: Volumes) -> None:
    await assert_kept(volumes, [5, 6, 7])


async def the_garbage_is_gone(volumes: Volumes) -> None:
    await the_newest_are_kept(volumes)
    assert (await volumes.gc(WEB)).bytes == 0


async def it_cannot_be_brought_back(volumes: Volumes) -> None:
    with pytest.raises(HutchError) as caught:
        await volumes.bring_back(WEB)
    assert caught.value.code == "volume_unknown"


async def the_work_is_kept_apart(volumes: Volumes) -> None:
    kept = [VolumeName.parse(info.name) for info in await volumes.list() if "@conflict-" in info.name]
    assert LEFT in [await tree_of(volumes, name=name) for name in kept]


# The table -------------------------------------------------------------------

Step = Callable[[Volumes], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """One step. None among the trees: the volume is removed."""

    step: Step
    trees: tuple[Tree | None, ...]  # that the volume may have after a stop; the last one: when it is done
    writes: int  # at least, so that a step that does nothing is no proof
    before: Callable[[Scene], Awaitable[None]] = written_elsewhere
    wait_s: float = 0  # between what was before and the step
    again: Step | None = None  # how it is done again; None: by the step
    is_done: str = ""  # the error that tells that it was done already
    finally_: Step = nothing_more

    async def do_again(self, volumes: Volumes) -> None:
        try:
            await (self.again or self.step)(volumes)
        except HutchError as error:
            if error.code != self.is_done:
                raise


_EDITED: tuple[Tree, Tree] = (
    BASE | {"/a": b"new", "/large": LARGE},
    {"/a": b"new", "/d": None, "/large": LARGE},
)
CASES = {
    "commit": Case(edit_and_commit, (BASE, *_EDITED), 5),
    "stream": Case(stream_and_commit, (BASE, BASE | {"/a": b"new"}, *_EDITED), 6, again=edit_and_commit),
    "write": Case(write_one, (BASE, BASE | {"/e": None, "/e/f": LARGE}), 4),
    "put folder": Case(put_folder, (BASE, BASE | {"/e": None, "/e/f": LARGE}), 4),
    "lease": Case(only_lease, (BASE,), 2),
    "restore": Case(go_back, (BASE, OLDEST), 4),
    "fork": Case(fork, (BASE,), 2, is_done="volume_exists", finally_=the_fork_is_there),
    "write to fork": Case(write_to_fork, (BASE,), 5, finally_=the_fork_is_written),
    "tag": Case(tag, (BASE,), 1, finally_=the_tag_is_there),
    "untag": Case(untag, (BASE,), 1, before=tagged, is_done="tag_unknown", finally_=no_tag_is_there),
    "remove": Case(remove, (BASE, None), 3, is_done="volume_unknown"),
    "bring back": Case(bring_back, (None, BASE), 2, before=removed, is_done="volume_exists"),
    "thin": Case(thin, (grown(7),), 1, before=grown_old, finally_=the_newest_are_kept),
    "gc": Case(gc, (grown(7),), 5, before=thinned, wait_s=2 * DAY_S, finally_=the_garbage_is_gone),
    "gc of the removed": Case(
        gc, (None,), 5, before=removed, wait_s=8 * DAY_S, finally_=it_cannot_be_brought_back
    ),
    "take over": Case(edit_and_commit, (BASE, *_EDITED), 6, before=abandoned),
    "recover": Case(recover, (BASE, LEFT), 5, before=left_behind),
    "recover apart": Case(
        recover, (THEIRS,), 5, before=left_behind_and_taken_over, finally_=the_work_is_kept_apart
    ),
}
