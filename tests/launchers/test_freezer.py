"""A sandbox can be held still for a moment, where the host gives a freezer, and never for good."""

import os
import time
from pathlib import Path, PurePosixPath

import anyio
import pytest

from hutch_launchers.cgroup import reap_group
from hutch_launchers.freezer import Freezer
from hutch_launchers.hierarchy import find_hierarchy
from hutch_launchers.spec import Limits, Mount
from support.held_still import STILL_S, held_still
from support.launcher_methods import LIMITS, available, read_line, sh, spec, without_limits
from support.streams import LONG_S, until

pytestmark = pytest.mark.anyio
_COUNT = "echo begun; i=0; while :; do i=$((i+1)); echo $i > /data/count; done"

needs_freezer = pytest.mark.skipif(
    find_hierarchy() is None, reason="this user can make no control groups here, so nothing can be frozen"
)


def _count(folder: Path) -> str:
    return (folder / "count").read_text() if (folder / "count").exists() else ""


async def _moves(folder: Path) -> None:
    """Return when the count has changed; a read between truncation and write sees nothing."""
    before = _count(folder)
    await until(lambda: _count(folder) not in ("", before))


async def _stands_still(folder: Path, since: float) -> None:
    """Look for a while; a look after the second for which anybody can hold it says nothing."""
    before = _count(folder)
    for _ in range(50):
        await anyio.sleep(0.005)
        after = _count(folder)
        assert after in ("", before) or time.monotonic() - since > STILL_S


@pytest.fixture
def work(tmp_path: Path) -> Path:
    tmp_path.chmod(0o777)
    return tmp_path


@needs_freezer
@pytest.mark.parametrize("limits", [LIMITS, without_limits()], ids=["limited", "unlimited"])
async def test_all_stands_still_in_the_block_and_goes_on_after_it(work: Path, limits: Limits) -> None:
    launcher = await available("bubblewrap")
    mounts = (Mount(work, PurePosixPath("/data"), writable=True),)
    async with launcher.launch(spec(sh(_COUNT), mounts=mounts, limits=limits)) as process:
        await read_line(process.stdout)
        await _moves(work)
        async with held_still(process) as since, held_still(process):
            await _stands_still(work, since)
        await _moves(work)


@needs_freezer
async def test_a_wrapper_is_frozen_too() -> None:
    launcher = await available("wrapper-bwrap")
    async with launcher.launch(spec(sh("while echo x; do :; done"))) as process:
        await process.stdout.receive()
        async with held_still(process):
            pass


@needs_freezer
async def test_a_kept_sandbox_stands_still_with_all_its_commands(work: Path) -> None:
    launcher = await available("bubblewrap")
    wanted = spec(None, mounts=(Mount(work, PurePosixPath("/data"), writable=True),))
    async with launcher.keep(wanted) as kept, kept.start(sh(_COUNT)) as process:
        await read_line(process.stdout)
        await _moves(work)
        async with held_still(kept) as since:
            await _stands_still(work, since)
        await _moves(work)


@needs_freezer
async def test_nobody_can_hold_it_for_longer_than_a_second(work: Path) -> None:
    launcher = await available("bubblewrap")
    wanted = spec(sh(_COUNT), mounts=(Mount(work, PurePosixPath("/data"), writable=True),))
    async with launcher.launch(wanted) as process:
        await read_line(process.stdout)
        async with process.frozen():
            await anyio.sleep(STILL_S)
            await _moves(work)


@needs_freezer
async def test_what_is_frozen_can_be_stopped_and_reaped(work: Path) -> None:
    launcher = await available("bubblewrap")
    run_id = f"test-{os.urandom(6).hex()}"
    mounts = (Mount(work, PurePosixPath("/data"), writable=True),)
    with anyio.fail_after(LONG_S):
        async with launcher.launch(spec(sh(_COUNT), mounts=mounts, run_id=run_id)) as process:
            await read_line(process.stdout)
            async with held_still(process):
                assert await reap_group(run_id)
            await process.wait()


async def test_without_a_freezer_it_says_so_and_all_goes_on() -> None:
    async with Freezer(None).frozen() as still:
        assert not still
