"""What all methods with a front program share; each says which program it is, and its words."""

import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import anyio

from hutch_launchers.ability_trials import Trials
from hutch_launchers.cgroup import FRONT_PROCESSES
from hutch_launchers.front import Front, FrontProcess, Start, greet
from hutch_launchers.guest_link import Guest, until_ready
from hutch_launchers.interpreter import GUEST_SOURCE, Interpreter
from hutch_launchers.kept import Kept
from hutch_launchers.launcher import Evidence, KeptSandbox, LauncherError, Probe, SandboxProcess
from hutch_launchers.limits import AFFINITY, INITS, Confinement
from hutch_launchers.limits import mechanisms as limit_mechanisms
from hutch_launchers.local_process import Stdio, open_pipes
from hutch_launchers.prelude import OPEN, command_prelude, new_greeting, shell, stayed
from hutch_launchers.probe import Bench, is_finished, measure
from hutch_launchers.probed import ProbeCache, require_for
from hutch_launchers.reaping import kill_marked, reap
from hutch_launchers.spec import Ability, Guarantee, Limits, SandboxSpec


@dataclass(frozen=True, slots=True)
class Traits:
    """What a kind of front program does, however it is configured."""

    mechanisms: Mapping[Guarantee, str]  # what holds each, where the canaries show that it is held
    abilities: frozenset[Ability]
    counts_apart: bool = False  # a user namespace of its own: the kernel counts its processes alone
    processes: int = FRONT_PROCESSES  # in the control group, besides the command's own
    inits: int = INITS  # in the user namespace, besides the command's own
    # The command would be the first process of its PID namespace: a shell stays in front
    is_first: bool = False
    has_short_words: bool = False  # the front program takes no long ones
    adds: tuple[str, ...] = ()  # variables that it puts into the environment inside
    greets: bool = True  # the front program leaves standard output to what is inside


@dataclass(frozen=True, slots=True)
class Tool:
    """A front program that was found."""

    path: str
    version: str = ""

    @property
    def mtime_ns(self) -> int:
        return Path(self.path).stat().st_mtime_ns


def without_affinity(evidence: Mapping[Guarantee, Evidence]) -> Mapping[Guarantee, Evidence]:
    """Without our filter a process may choose its CPUs anew, which a busy host does not show."""
    if evidence[Guarantee.CPU].mechanism != AFFINITY:
        return evidence
    return {**evidence, Guarantee.CPU: Evidence(held=False, mechanism="", detail="nothing pins the CPUs")}


class FrontMethod(ABC):
    """A `Launcher` by a front program."""

    __slots__ = ()
    traits: ClassVar[Traits]
    name: str
    probe_cache: Path | None

    @abstractmethod
    async def find(self) -> Tool:
        """The program that makes the sandboxes. Raises LauncherError `method_unavailable`."""

    @abstractmethod
    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        """Its words for this spec; what they need is opened or made for `held`. Raises LauncherError."""

    def interpreter(self) -> Interpreter:
        """The Python inside."""
        return Interpreter("/usr/bin/python3")

    def check(self, spec: SandboxSpec) -> None:  # noqa: B027 - most have nothing against it
        """Raise LauncherError for a spec that this method cannot give as it stands."""

    def judge(self, evidence: Mapping[Guarantee, Evidence]) -> Mapping[Guarantee, Evidence]:
        """What the method may claim of what the canaries showed."""
        return evidence

    def explain(self, tool: Tool, error: LauncherError) -> tuple[str, str]:
        """Why no sandbox could be made on this host, and what mends it."""
        return error.message, error.hint

    async def sweep(self, run_id: str) -> bool:
        """End what is left of a run though its front program has ended; whether there was something."""
        return await kill_marked(run_id)

    async def reap(self, run_id: str) -> bool:
        found = await reap(run_id)
        return await self.sweep(run_id) or found

    def mechanisms(self, limits: Limits) -> Mapping[Guarantee, str]:
        """What enforces what, for the run's record."""
        return {
            **self.traits.mechanisms,
            **limit_mechanisms(limits, counts_apart=self.traits.counts_apart),
        }

    async def probe(self, *, fresh: bool = False) -> Probe:
        try:
            tool = await self.find()
        except LauncherError as error:
            return Probe(self.name, available=False, reason=error.message, fix=error.hint)
        key = f"{self!r} {tool!r} {tool.mtime_ns}"
        cache = ProbeCache(self.probe_cache)
        if not fresh and (known := cache.get(key)):
            return known
        python = self.interpreter()
        try:
            mechanisms = self.traits.mechanisms
            bench = Bench(self._launch, python.program, python.env, mechanisms, self.name, self.reap)
            measured = await measure(bench)
            trials = Trials(self.launch, self.keep, python.program, python.env, self.name)
            unable = await trials.failed(self.traits.abilities)
        except LauncherError as error:
            reason, fix = self.explain(tool, error)
            return Probe(self.name, available=False, reason=reason, fix=fix, version=tool.version)
        probe = Probe(
            self.name,
            available=True,
            version=tool.version,
            evidence=self.judge(measured),
            abilities=self.traits.abilities - unable.keys(),
            unable=unable,
        )
        if is_finished(measured, unable):
            cache.put(key, probe)
        return probe

    async def _require(self, spec: SandboxSpec) -> None:
        if spec.needs or spec.uses - self.traits.abilities:
            require_for(await self.probe(), spec)
        self.check(spec)

    @asynccontextmanager
    async def launch(self, spec: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
        await self._require(spec)
        async with self._launch(spec) as process:
            yield process

    @asynccontextmanager
    async def _launch(self, spec: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
        if spec.command is None:
            raise LauncherError("command_invalid", "a launch needs a command; `keep` starts without one")
        async with AsyncExitStack() as held:
            start = await self._prepared(spec, held)
            command = start.adapt(spec.command)
            short = self.traits.has_short_words
            prelude = command_prelude(command, with_words=short, without=self.traits.adds)
            greeting = new_greeting() if self.traits.greets else None
            words = shell(() if short else command.argv, greeting, stays=self.traits.is_first)
            with ExitStack() as child_ends:
                pipes = open_pipes(child_ends)
                held.callback(pipes.close)
                front = await held.enter_async_context(self._front(start, words, pipes.child))
            with suppress(anyio.BrokenResourceError):  # it ended already: its status says how
                await pipes.stdin.send(OPEN)
                if greeting is not None:
                    await greet(front, greeting, pipes.stdout, pipes.stderr)
                    await front.settle()
                await pipes.stdin.send(prelude)
            yield FrontProcess(front, pipes, stays=self.traits.is_first)

    @asynccontextmanager
    async def keep(self, spec: SandboxSpec) -> AsyncGenerator[KeptSandbox]:
        await self._require(spec)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        async with AsyncExitStack() as held:
            held.callback(ours.close)
            held.callback(theirs.close)
            start = await self._prepared(spec, held)
            python = self.interpreter()
            source = GUEST_SOURCE.read_text(encoding="utf-8")
            guest = [python.program, "-I", "-S", "-X", new_greeting(), "-c", source]  # unlike any other
            words = stayed(guest) if self.traits.is_first else guest
            with ExitStack() as child_ends:
                child_ends.callback(theirs.close)
                pipes = open_pipes(child_ends)
                held.callback(pipes.close)
                stdio = Stdio(theirs.fileno(), pipes.child.stdout, pipes.child.stderr)
                front = await held.enter_async_context(self._front(start, words, stdio))
            ours.send(OPEN)
            link = Guest(ours, front.child.kill_group)
            held.callback(link.close)
            await until_ready(link, pipes.stderr)
            if self.traits.greets:
                await front.settle()
            yield Kept(link, front.confinement, front.wait, start.adapt)

    async def _prepared(self, spec: SandboxSpec, held: AsyncExitStack) -> Start:
        """The start of a spec with what the method brings for itself; `held` gives back what it takes."""
        own = self.interpreter().mounts
        with_own = replace(spec, mounts=(*own, *spec.mounts)) if own else spec
        return self.prepare(await self.find(), with_own, held.enter_context(ExitStack()))

    def _front(self, start: Start, words: list[str], stdio: Stdio) -> Front:
        traits, spec = self.traits, start.spec
        confinement = Confinement(
            spec.limits,
            spec.run_id,
            counts_apart=traits.counts_apart,
            front_processes=traits.processes,
            inits=traits.inits,
        )
        return Front(start, words, stdio, confinement, self.sweep, counts_apart=traits.counts_apart)
