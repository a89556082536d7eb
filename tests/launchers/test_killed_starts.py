"""Daemons killed while a container starts, at every instant of it: the next one leaves nothing."""

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import anyio
import pytest

from hutch_launchers.containers.launcher import ContainerLauncher
from hutch_launchers.hierarchy import find_hierarchy
from hutch_launchers.launcher import Sweeps
from hutch_launchers.methods.docker import DockerLauncher
from hutch_launchers.methods.nspawn import NspawnLauncher
from hutch_launchers.methods.podman import PodmanLauncher
from support.container_engines import PODMAN
from support.launcher_containers import container_launcher, tell
from support.launcher_leftovers import lives
from support.launcher_methods import LAUNCHERS, host_pids, read_line, sh, spec
from support.left_behind import engines_of
from support.streams import LONG_S, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the tests' engines are root's")
PLACES = Path("/run/hutch/containers")
DAEMON = """
import os, pickle, signal, subprocess, sys, time
import anyio
sys.path[:0] = {path!r}
from hutch_launchers.containers import container
from support.launcher_methods import LAUNCHERS, sh, spec

launcher, instant = pickle.loads(bytes.fromhex(sys.argv[1])), sys.argv[2]
popen = subprocess.Popen

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def asked(argv, **rest):
    made = popen(argv, **rest)
    if "run" in argv or any(word.startswith("--machine=") for word in argv):
        if instant != "asked":  # its client is killed with it
            time.sleep(float(instant))
            made.kill()
        die()
    return made

if instant == "noted":
    container._fill = die
elif instant == "started":
    container._accept = die
else:
    subprocess.Popen = asked

async def main():
    async with launcher.launch(spec(sh("sleep 60"))):
        pass

anyio.run(main)
"""


def kill_at(launcher: ContainerLauncher, instant: str) -> str:
    """Have a daemon killed at this instant of a start; return the container's name."""
    program = DAEMON.replace("{path!r}", repr([p for p in sys.path if p]))
    daemon = subprocess.Popen([sys.executable, "-c", program, pickle.dumps(launcher).hex(), instant])
    assert daemon.wait(timeout=120) == -signal.SIGKILL
    (place,) = (PLACES / launcher.name).glob(f"hutch-{daemon.pid:x}-*")  # others may begin some meanwhile
    return place.name


async def left_of(launcher: ContainerLauncher, name: str) -> list[str]:
    """What stays of it; a process that is about to end may take a while."""
    with anyio.move_on_after(LONG_S):
        while found_of(launcher, name):
            await anyio.sleep(0.05)
    return found_of(launcher, name)


def found_of(launcher: ContainerLauncher, name: str) -> list[str]:
    hierarchy = find_hierarchy()
    paths = [PLACES / launcher.name / name, Path("/run/systemd/nspawn/propagate", name)]
    paths += [folder / name for folder in (hierarchy.folders if hierarchy else ())]
    found = [*(str(path) for path in paths if path.exists()), *(f"process {pid}" for pid in host_pids(name))]
    if not isinstance(launcher, NspawnLauncher):
        found += tell(launcher, "ps", "--all", "--quiet", "--filter", f"name={name}").split()
    return found


def delayed(launcher: ContainerLauncher, folder: Path) -> ContainerLauncher:
    """With an engine that is slow to begin, as on a busy host."""
    program = folder / "slow"
    method = "docker" if isinstance(launcher, DockerLauncher) else "podman"
    program.write_text(f'#!/bin/sh\ncase " $* " in *" run "*) sleep 1;; esac\nexec {method} "$@"\n')
    program.chmod(0o700)
    if isinstance(launcher, PodmanLauncher):
        return replace(launcher, command=(str(program), *PODMAN[1:]))
    assert isinstance(launcher, DockerLauncher)
    return replace(launcher, program=str(program))


@pytest.mark.parametrize("instant", ["noted", "asked", "started"])
@pytest.mark.parametrize("method", ["docker", "nspawn", "podman"])
async def test_nothing_is_left_of_a_start_that_was_cut(method: str, instant: str) -> None:
    launcher = await container_launcher(method)
    name = kill_at(launcher, instant)
    assert isinstance(launcher, Sweeps)
    await launcher.sweep_orphans()
    assert await left_of(launcher, name) == []


@pytest.mark.parametrize("method", ["docker", "podman"])
async def test_a_client_that_outlives_its_daemon_is_waited_for(method: str, tmp_path: Path) -> None:
    launcher = delayed(await container_launcher(method), tmp_path)
    name = kill_at(launcher, "asked")
    await launcher.sweep_orphans()
    assert await left_of(launcher, name) == []


@pytest.mark.parametrize("method", ["docker", "podman"])
async def test_what_an_engine_makes_for_a_client_that_was_killed_is_found(method: str) -> None:
    launcher = await container_launcher(method)
    rng = Random(23)
    for _ in range(4):
        name = kill_at(launcher, f"{rng.uniform(0.01, 0.3):.3f}")
        await launcher.sweep_orphans()
        assert await left_of(launcher, name) == []


@pytest.mark.parametrize("method", ["docker", "nspawn", "podman"])
async def test_what_an_engine_has_beside_a_container_may_be_killed(method: str) -> None:
    launcher = await container_launcher(method)
    async with launcher.launch(spec(sh("echo here; exec sleep 60"))) as process:
        await read_line(process.stdout)
        (name,) = (place.name for place in (PLACES / launcher.name).glob(f"hutch-{os.getpid():x}-*"))
        engines = engines_of(os.getpid())
        for pid in engines:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: not any(map(lives, engines)))
    assert await left_of(launcher, name) == []


def test_a_method_that_ends_what_is_left_of_one_run_sweeps_no_orphans() -> None:
    """A start-up would call it without a run, and fail."""
    for name, launcher in LAUNCHERS.items():
        assert isinstance(launcher, Sweeps) == isinstance(launcher, ContainerLauncher), name
