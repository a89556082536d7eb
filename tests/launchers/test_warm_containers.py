"""Containers that are started ahead of need: each serves one run, and none is left."""

import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path, PurePosixPath

import anyio
import pytest

from hutch_launchers.containers.pool import close_pools
from hutch_launchers.methods.docker import DockerLauncher
from hutch_launchers.spec import Limits, Mount
from support.container_engines import DOCKER_HOST, OWN
from support.launcher_containers import tell
from support.launcher_leftovers import lives
from support.launcher_methods import available, code, read_line, run, sh, spec
from support.streams import until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="mounts are put into running containers by root alone"
)
WARM = DockerLauncher(f"warm-{OWN}", warm=2, host=DOCKER_HOST)
WARM_PLACES = Path("/run/hutch/containers", WARM.name)


@pytest.fixture
async def warm() -> AsyncGenerator[DockerLauncher]:
    await available("docker")
    await run(WARM, spec(sh(":")))
    await until_warm()
    yield WARM
    close_pools()


async def until_warm() -> None:
    await until(lambda: len(list(WARM_PLACES.glob("*/number"))) >= WARM.warm)


async def test_a_warm_container_serves_one_run_with_mounts_and_limits_of_its_own(
    warm: DockerLauncher, tmp_path: Path
) -> None:
    waiting = {int((place / "number").read_text().split()[0]) for place in WARM_PLACES.glob("*")}
    used = set()
    for number in range(2):
        (volume := tmp_path / str(number)).mkdir()
        limits = Limits(
            wall_s=30, memory_bytes=(64 + number) << 20, pids=20 + number, disk_bytes=(8 + number) << 20
        )
        mounts = (Mount(volume, PurePosixPath(f"/volume{number}"), writable=True),)
        script = (
            f"df -k /tmp | tail -1 | awk '{{print $2}}'; echo {number} > /volume{number}/mine; ls -d /volume*"
        )
        async with warm.launch(spec(sh(script), mounts=mounts, limits=limits)) as process:
            assert process.pid is not None
            used.add(process.pid)
            lines = Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()
            group = next(
                line.split(":", 2)[2] for line in lines if ":pids:" in line or line.startswith("0::/docker")
            )
            assert "docker" in group
            told = [await read_line(process.stdout), await read_line(process.stdout)]
            assert (told, await process.wait()) == ([str((8 + number) * 512), f"/volume{number}"], code(0))
        assert (volume / "mine").read_text() == f"{number}\n"
    assert used <= waiting
    assert len(used) == 2


async def test_a_warm_container_is_about_as_quick_as_bubblewrap(warm: DockerLauncher) -> None:
    took = [float("inf")]
    # 9 ms on an idle machine; a new container takes 200 there. A busy one has its quick moments
    while min(took) > 0.1:
        assert len(took) < 30, took
        await until_warm()
        await anyio.sleep(0.2)  # the engine is done with the last one
        begun = time.perf_counter()
        async with warm.launch(spec(sh("echo here"))) as process:
            await read_line(process.stdout)
            took.append(time.perf_counter() - begun)


async def test_a_warm_container_that_ended_is_passed_over(warm: DockerLauncher) -> None:
    pids = [int((place / "number").read_text().split()[0]) for place in WARM_PLACES.glob("*")]
    for pid in pids:
        os.kill(pid, 9)
    await until(lambda: not any(map(lives, pids)))
    assert (await run(warm, spec(sh("echo here")))).text == "here\n"


async def test_nothing_warm_is_left_when_the_pools_are_closed(warm: DockerLauncher) -> None:
    close_pools()
    await until(lambda: not tell(warm, "ps", "--all", "--quiet"))
    assert list(WARM_PLACES.glob("*")) == []
