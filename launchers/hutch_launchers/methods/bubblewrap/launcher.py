"""The method `bubblewrap`: namespaces, a filter and limits around one command, by an unprivileged program."""

import os
import socket
import threading
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

import anyio

from hutch_launchers.ability_trials import Trials
from hutch_launchers.guest_link import Guest, until_ready
from hutch_launchers.interpreter import GUEST, GUEST_SOURCE, find_interpreter
from hutch_launchers.kept import Kept
from hutch_launchers.launcher import KeptSandbox, LauncherError, Probe, SandboxProcess
from hutch_launchers.limits import Confinement
from hutch_launchers.limits import mechanisms as limit_mechanisms
from hutch_launchers.local_process import Stdio, open_pipes
from hutch_launchers.methods.bubblewrap.argv import Options
from hutch_launchers.methods.bubblewrap.binary import find_bwrap
from hutch_launchers.methods.bubblewrap.bubble import Bubble, Start, start_bubble
from hutch_launchers.methods.bubblewrap.overlay import has_overlay
from hutch_launchers.methods.bubblewrap.own_mounts import spawner_with
from hutch_launchers.methods.bubblewrap.process import BubbleProcess
from hutch_launchers.probe import Bench, is_finished, measure
from hutch_launchers.probed import ProbeCache, require_for
from hutch_launchers.reaping import reap
from hutch_launchers.root_owned import own_devices
from hutch_launchers.spawner import Spawner
from hutch_launchers.spec import Ability, Command, ExitStatus, Guarantee, Limits, Mount, SandboxSpec
from hutch_launchers.streams import PipeReader
from hutch_launchers.system_view import look, private_proc_files
from hutch_launchers.user_namespaces import find_obstacle

_MECHANISMS = {
    Guarantee.FILESYSTEM: "mount namespace",
    Guarantee.NETWORK: "network namespace",
    Guarantee.PROCESSES: "PID namespace",
    Guarantee.SYSCALLS: "seccomp",
    Guarantee.DISK: "tmpfs sizes",
}
_ABILITIES = frozenset({Ability.KEEP, Ability.DOORS, Ability.NESTED, Ability.FREEZE})
_FRESH_S = 10.0  # how old the view of the host's system folders may be
_looking = threading.Lock()  # whoever comes while another looks waits for what that one sees


@dataclass(frozen=True, slots=True)
class BubblewrapLauncher:
    """Configuration only."""

    name: str = "bubblewrap"
    bwrap: Path | None = None  # None: the system's in /usr/bin, where AppArmor expects it, or the wheel's
    system: tuple[str, ...] = ("/usr",)  # host folders that hold programs, read-only at their own paths
    readable: tuple[str, ...] = ()  # further host paths to read, each at its own path
    probe_cache: Path | None = field(default=None, repr=False)  # a file in which probes outlive the daemon

    async def probe(self, *, fresh: bool = False) -> Probe:
        try:
            binary = await find_bwrap(self.bwrap)
        except LauncherError as error:
            return Probe(self.name, available=False, reason=error.message, fix=error.hint)
        key = f"{self!r} {binary!r}"
        cache = ProbeCache(self.probe_cache)
        if not fresh and (known := cache.get(key)):
            return known
        try:
            python = find_interpreter(self.system)
            bench = Bench(
                lambda spec: self._launch(spec, python.mounts),
                python.program,
                python.env,
                _MECHANISMS,
                self.name,
                self.reap,
            )
            evidence = await measure(bench)
            unable = await Trials(bench.launch, self.keep, python.program, python.env, self.name).failed(
                _ABILITIES
            )
            place = self.probe_cache.parent if self.probe_cache else None
            overlays = binary.has_overlay and await has_overlay(bench.launch, python.program, place)
        except LauncherError as error:
            obstacle = find_obstacle(binary.path, error.message)
            return Probe(
                self.name, available=False, reason=obstacle.reason, fix=obstacle.fix, version=str(binary)
            )
        abilities = (_ABILITIES | ({Ability.OVERLAY} if overlays else frozenset())) - unable.keys()
        probe = Probe(
            self.name,
            available=True,
            version=str(binary),
            evidence=evidence,
            abilities=abilities,
            unable=unable,
        )
        if is_finished(evidence, unable):
            cache.put(key, probe)
        return probe

    async def _require(self, spec: SandboxSpec) -> None:
        if spec.needs or spec.uses - _ABILITIES:
            require_for(await self.probe(), spec)

    @asynccontextmanager
    async def launch(self, spec: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
        await self._require(spec)
        async with self._launch(spec) as process:
            yield process

    @asynccontextmanager
    async def _launch(self, spec: SandboxSpec, own: tuple[Mount, ...] = ()) -> AsyncGenerator[SandboxProcess]:
        if spec.command is None:
            raise LauncherError("command_invalid", "a launch needs a command; `keep` starts without one")
        confinement = Confinement(spec.limits, spec.run_id)
        try:
            binary = await find_bwrap(self.bwrap)
            options, spawner = self._host()
            start = Start(binary, options, spec, confinement, spec.command, mounts=own, spawner=spawner)
            process = await _start_process(start)
            try:
                yield process
            finally:
                await process.aclose()
        finally:
            await confinement.release()

    @asynccontextmanager
    async def keep(self, spec: SandboxSpec) -> AsyncGenerator[KeptSandbox]:
        await self._require(spec)
        confinement = Confinement(spec.limits, spec.run_id)
        try:
            python = find_interpreter(self.system)
            options, spawner = self._host()
            start = Start(
                binary=await find_bwrap(self.bwrap),
                options=options,
                spec=spec,
                confinement=confinement,
                command=Command((python.program, "-I", "-S", GUEST), PurePosixPath("/"), python.env),
                files={GUEST: GUEST_SOURCE.read_bytes()},
                mounts=python.mounts,
                spawner=spawner,
            )
            async with _start_guest(start) as kept:
                yield kept
        finally:
            await confinement.release()

    async def reap(self, run_id: str) -> bool:
        return await reap(run_id)

    def mechanisms(self, limits: Limits) -> Mapping[Guarantee, str]:
        """What enforces what, for the run's record."""
        return {**_MECHANISMS, **limit_mechanisms(limits)}

    def look_ahead(self) -> None:
        self._host()

    def _host(self) -> tuple[Options, Spawner | None]:
        with _looking:
            return _look(self, int(time.monotonic() / _FRESH_S))


@lru_cache(maxsize=8)
def _look(method: BubblewrapLauncher, _period: int) -> tuple[Options, Spawner | None]:
    """What the method shows of the host, looked at once a period: it costs half a bubblewrap.

    And what starts it: by a spawner that has the nodes of /dev in their place they need not be bound.
    """
    devices = own_devices()
    spawner = spawner_with(devices)
    options = Options(
        view=look(method.system),
        readable=method.readable,
        masked=private_proc_files() if os.geteuid() == 0 else (),
        devices=() if spawner else devices,
    )
    return options, spawner


async def _start_process(start: Start) -> BubbleProcess:
    with ExitStack() as child_ends:
        pipes = open_pipes(child_ends)
        try:
            bubble = await start_bubble(start, pipes.child, pipes.stderr)
        except BaseException:
            pipes.close()
            raise
    return BubbleProcess(bubble, pipes, start.confinement)


@asynccontextmanager
async def _start_guest(start: Start) -> AsyncGenerator[KeptSandbox]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    stderr = PipeReader(reader)
    try:
        with ExitStack() as child_ends:
            child_ends.callback(os.close, writer)
            child_ends.callback(theirs.close)
            null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
            child_ends.callback(os.close, null)
            bubble = await start_bubble(start, Stdio(theirs.fileno(), null, writer), stderr)
        guest = Guest(ours, bubble.end)
        try:
            await until_ready(guest, stderr)
            yield Kept(guest, start.confinement, lambda: _ended(bubble, start.confinement))
        finally:
            guest.close()
            try:
                with anyio.CancelScope(shield=True):
                    await bubble.kill()
            finally:
                bubble.close()
    finally:
        ours.close()
        stderr.close()


async def _ended(bubble: Bubble, confinement: Confinement) -> ExitStatus:
    await bubble.child.wait()
    return confinement.mark(bubble.child.exit_status)
