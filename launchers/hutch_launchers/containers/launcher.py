"""What the methods `docker` and `podman` are alike in: they differ in their engine and in how it is found."""

import os
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import anyio.to_thread

from hutch_launchers.ability_trials import Trials
from hutch_launchers.commands import check_run_id
from hutch_launchers.containers.engine import Engine
from hutch_launchers.containers.launch import Rooms, keep, launch, reap, warm_pool
from hutch_launchers.containers.own_python import foreign_interpreter
from hutch_launchers.containers.places import forget_orphans, orphans
from hutch_launchers.containers.skeleton import image_name, make_skeleton
from hutch_launchers.launcher import Evidence, KeptSandbox, LauncherError, Probe, SandboxProcess
from hutch_launchers.limits import mechanisms as limit_mechanisms
from hutch_launchers.probe import Bench, is_finished, measure
from hutch_launchers.probed import ProbeCache, require_for
from hutch_launchers.spec import Ability, Guarantee, Limits, SandboxSpec
from hutch_launchers.system_view import look
from hutch_launchers.user_namespaces import Obstacle, find_mapping_obstacle

_MECHANISMS = {
    Guarantee.FILESYSTEM: "mount namespace",
    Guarantee.NETWORK: "network namespace",
    Guarantee.PROCESSES: "PID namespace",
    Guarantee.SYSCALLS: "seccomp",
    Guarantee.DISK: "tmpfs sizes",
}


_GROUP = "the container's control group"
_BY_GROUP = (Guarantee.MEMORY, Guarantee.CPU, Guarantee.PIDS)


@dataclass(frozen=True, slots=True)
class Found:
    """An engine that answers."""

    engine: Engine
    version: str
    doors: bool  # whether its sandboxes' networks can be entered by us
    user: tuple[int, int]  # inside, who has on the host what is ours
    images: bool = True
    maps_users: bool = False  # its containers have many users, by a range of them that is ours


@dataclass(frozen=True, slots=True)
class ContainerLauncher:
    """Configuration only. A subclass says how its engine is found."""

    name: str = ""
    image: str = ""  # the root of its sandboxes; empty: the host's own programs
    readable: tuple[str, ...] = ()  # further host paths to read, each at its own path
    warm: int = 0  # containers started ahead of need
    probe_cache: Path | None = None

    def find(self) -> Found:
        """See that the engine answers. Blocks. Raises LauncherError `method_unavailable` with the fix."""
        raise NotImplementedError

    async def probe(self, *, fresh: bool = False) -> Probe:
        try:
            found = await anyio.to_thread.run_sync(self.find)
        except LauncherError as error:
            return Probe(self.name, available=False, reason=error.message, fix=error.hint)
        rooms = self._rooms(found)
        key = f"{self!r} {found!r}"
        cache = ProbeCache(self.probe_cache)
        probe = None if fresh else cache.get(key)
        if probe is None:
            try:
                probe, is_whole = await self._measured(found, replace(rooms, warm=0, image=""))
            except LauncherError as error:
                obstacle = find_mapping_obstacle() if found.maps_users else None
                told = obstacle or Obstacle(error.message, error.hint)
                return Probe(
                    self.name, available=False, reason=told.reason, fix=told.fix, version=found.version
                )
            if is_whole:
                cache.put(key, probe)
        if self.warm and rooms.attaches:
            warm_pool(rooms)
        return probe

    async def _measured(self, found: Found, rooms: Rooms) -> tuple[Probe, bool]:
        """And whether all of it came to its end."""
        groups: list[bool] = []

        @asynccontextmanager
        async def observed(spec: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
            async with launch(rooms, spec) as process:
                groups.append(process.has_group)
                yield process

        bench = Bench(observed, "/usr/bin/python3", {}, _MECHANISMS, self.name, self.reap)
        evidence = _judged(await measure(bench), has_group=all(groups))
        unable = await _trials(rooms, self.name).failed(_abilities(found))
        probe = Probe(
            self.name,
            available=True,
            version=found.version,
            evidence=evidence,
            abilities=_abilities(found) - unable.keys(),
            unable=unable,
        )
        return probe, is_finished(evidence, unable)

    @asynccontextmanager
    async def launch(self, spec: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
        async with launch(await self._required(spec), spec) as process:
            yield process

    @asynccontextmanager
    async def keep(self, spec: SandboxSpec) -> AsyncGenerator[KeptSandbox]:
        async with keep(await self._required(spec), spec) as kept:
            yield kept

    async def reap(self, run_id: str) -> bool:
        check_run_id(run_id)
        if not any(_places(self.name).glob("*")):
            return False
        return await anyio.to_thread.run_sync(reap, self._rooms(self.find()), run_id)

    async def sweep_orphans(self) -> None:
        """As `Sweeps.sweep_orphans`."""
        if orphans(places := _places(self.name)):
            found = await anyio.to_thread.run_sync(self.find)
            await anyio.to_thread.run_sync(forget_orphans, found.engine, places)

    def mechanisms(self, limits: Limits) -> Mapping[Guarantee, str]:
        """What enforces what, for the run's record."""
        return {**_MECHANISMS, **dict.fromkeys(limit_mechanisms(limits), _GROUP)}

    async def _required(self, spec: SandboxSpec) -> Rooms:
        found = self.find()
        if spec.needs or spec.uses - _abilities(found):
            require_for(await self.probe(), spec)
        return self._rooms(found)

    def _rooms(self, found: Found) -> Rooms:
        return Rooms(found.engine, _places(self.name), self.readable, self.image, self.warm, found.user)


def _trials(rooms: Rooms, name: str) -> Trials:
    """An image's is tried with our own skeleton, which is there by now: it holds no program but ours."""
    words, _ = foreign_interpreter()
    image = image_name(make_skeleton(look()))
    start, stay = partial(launch, rooms), partial(keep, rooms)
    return Trials(start, stay, "/usr/bin/python3", {}, name, image, words)


def _judged(evidence: Mapping[Guarantee, Evidence], *, has_group: bool) -> Mapping[Guarantee, Evidence]:
    """Without a group nothing holds these, though a busy host may show it so."""
    lost = Evidence(held=False, mechanism="", detail="the engine gives its containers no control group")
    by_group = {one: replace(evidence[one], mechanism=_GROUP) for one in _BY_GROUP if evidence[one].held}
    return {**evidence, **(by_group if has_group else dict.fromkeys(_BY_GROUP, lost))}


def _abilities(found: Found) -> frozenset[Ability]:
    sometimes = {
        Ability.DOORS: found.doors,
        Ability.IMAGE: found.images,
        Ability.FREEZE: os.geteuid() == 0,
    }
    return frozenset({Ability.KEEP, Ability.NESTED, *(one for one, has in sometimes.items() if has)})


def _places(name: str) -> Path:
    """Where a method's containers have their folders: a short path, as a socket's is to be."""
    if os.geteuid() == 0:
        base = Path("/run/hutch")
    elif runtime := os.environ.get("XDG_RUNTIME_DIR"):
        base = Path(runtime, "hutch")
    else:
        base = Path(tempfile.gettempdir(), f"hutch-{os.geteuid()}")
    return base / "containers" / quote(name, safe="")
