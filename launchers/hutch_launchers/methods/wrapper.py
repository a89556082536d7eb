"""The method `wrapper`: any program that runs a command. It gives what the canaries show it to give, no more.

The words of the command take the place of the one word `{command}`, each as a word of its own. In front of
them stands a shell of the sandbox, `/bin/sh -c SCRIPT hutch`, to which the working folder and the environment
come on standard input, before the command's own: they are in no argv, and never in the wrapper program's own
environment. So the wrapper must pass standard input on, and there must be a POSIX shell inside. What it
adds to the environment stays, and so does `HUTCH_SANDBOX`, by which what is left over is found.
"""

import re
import shlex
import shutil
import socket
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Self

import anyio

from hutch_launchers import proc
from hutch_launchers.commands import check_command
from hutch_launchers.guest_link import Guest, until_ready
from hutch_launchers.interpreter import GUEST_SOURCE
from hutch_launchers.kept import Kept
from hutch_launchers.launcher import Evidence, KeptSandbox, LauncherError, Probe, SandboxProcess
from hutch_launchers.limits import Confinement, mark_memory
from hutch_launchers.limits import mechanisms as limit_mechanisms
from hutch_launchers.local_process import Child, LocalProcess, Pipes, Stdio, open_pipes
from hutch_launchers.probe import Bench, is_finished, measure
from hutch_launchers.probed import ProbeCache, require_for
from hutch_launchers.reaping import MARK, kill_marked, reap
from hutch_launchers.spec import Ability, Command, ExitStatus, Guarantee, Limits, SandboxSpec

PLACE = "{command}"

_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"  # all that the wrapper program has in its environment
# A shell reads a pipe byte by byte, so what follows the last line is left to the command.
_SCRIPT = (
    'while IFS= read -r _hutch_line && [ -n "$_hutch_line" ]; do eval "$_hutch_line" || exit 126; done; '
    'exec "$@"'
)
_GATE = 'read -r _hutch_line && exec "$@"'  # the wrapper program starts when its limits are set
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_MAX_PRELUDE = 1 << 20  # bytes; the largest pipe that an ordinary user may have


@dataclass(frozen=True, slots=True)
class WrapperLauncher:
    """Configuration only. Raises ValueError for a command without exactly one `{command}`."""

    command: tuple[str, ...]
    name: str = "wrapper"
    platforms: tuple[str, ...] = ("linux",)
    paths: Literal["same"] | Mapping[str, str] = "same"  # or a host folder -> where it is inside
    python: str = "/usr/bin/python3"  # inside; for kept sandboxes and to be probed
    probe_cache: Path | None = None

    def __post_init__(self) -> None:
        if self.command.count(PLACE) != 1 or self.command[0] == "":
            raise ValueError(f"a wrapper's command is a program and exactly one word {PLACE!r}")

    @asynccontextmanager
    async def launch(self, spec: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
        await self._require(spec)
        async with self._launch(spec) as process:
            yield process

    @asynccontextmanager
    async def keep(self, spec: SandboxSpec) -> AsyncGenerator[KeptSandbox]:
        await self._require(spec)
        guest = (self.python, "-I", "-S", "-c", GUEST_SOURCE.read_text(encoding="utf-8"))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        async with AsyncExitStack() as held:
            held.callback(ours.close)
            with ExitStack() as child_ends:
                child_ends.callback(theirs.close)
                pipes = open_pipes(child_ends)
                held.callback(pipes.close)
                stdio = Stdio(theirs.fileno(), pipes.child.stdout, pipes.child.stderr)
                wrapped = await held.enter_async_context(_Wrapped(self.command, guest, spec, stdio))
            ours.send(b"\n")
            link = Guest(ours, wrapped.child.kill_group)
            held.callback(link.close)
            await until_ready(link, pipes.stderr)
            yield Kept(link, wrapped.confinement, wrapped.wait)

    @asynccontextmanager
    async def _launch(self, spec: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
        if spec.command is None:
            raise LauncherError("command_invalid", "a launch needs a command; `keep` starts without one")
        prelude = command_prelude(spec.command)
        shell = ("/bin/sh", "-c", _SCRIPT, "hutch", *spec.command.argv)
        async with AsyncExitStack() as held:
            with ExitStack() as child_ends:
                pipes = open_pipes(child_ends)
                held.callback(pipes.close)
                wrapped = await held.enter_async_context(_Wrapped(self.command, shell, spec, pipes.child))
            with suppress(anyio.BrokenResourceError):  # it ended already: its status says how
                await pipes.stdin.send(b"\n" + prelude)
            yield _WrapperProcess(wrapped, pipes)

    async def probe(self, *, fresh: bool = False) -> Probe:
        if sys.platform not in self.platforms:
            return Probe(self.name, available=False, reason=f"not configured for {sys.platform}")
        program = shutil.which(self.command[0], path=_PATH) if self.command[0] != PLACE else sys.executable
        if program is None:
            reason = f"the program {self.command[0]!r} is not installed"
            return Probe(
                self.name, available=False, reason=reason, fix=f"install it, or name its path ({_PATH})"
            )
        key = f"{self!r} {program} {Path(program).stat().st_mtime_ns}"
        cache = ProbeCache(self.probe_cache)
        if not fresh and (known := cache.get(key)):
            return known
        try:
            evidence = dict(await measure(Bench(self._launch, self.python, {}, _MECHANISMS)))
        except LauncherError as error:
            return Probe(self.name, available=False, reason=error.message, fix=error.hint)
        probe = Probe(self.name, available=True, evidence=_cut(evidence), abilities=_ABILITIES)
        if is_finished(evidence):
            cache.put(key, probe)
        return probe

    async def reap(self, run_id: str) -> bool:
        return await reap(run_id)

    def mechanisms(self, limits: Limits) -> Mapping[Guarantee, str]:
        """What enforces what, for the run's record."""
        return {**_MECHANISMS, **limit_mechanisms(limits, counts_apart=False)}

    async def _require(self, spec: SandboxSpec) -> None:
        if spec.needs or spec.uses - _ABILITIES:
            require_for(await self.probe(), spec)
        for mount in spec.mounts:
            if self._inside(mount.source) != mount.target:
                raise LauncherError(
                    "sandbox_failed",
                    f"{self.name} cannot show {mount.source} at {mount.target}",
                    f"name it in the method's paths, or mount it at {self._inside(mount.source)}",
                )
            if not mount.writable and Guarantee.FILESYSTEM in spec.needs:
                raise LauncherError(
                    "guarantee_missing", f"{self.name} cannot promise that {mount.target} is only read"
                )

    def _inside(self, source: Path) -> PurePosixPath:
        """Where a path of the host is inside."""
        if self.paths != "same":
            for outside, inside in self.paths.items():
                if source.is_relative_to(outside):
                    return PurePosixPath(inside) / source.relative_to(outside)
        return PurePosixPath(source)


_MECHANISMS = dict.fromkeys(
    (Guarantee.FILESYSTEM, Guarantee.NETWORK, Guarantee.PROCESSES, Guarantee.SYSCALLS, Guarantee.DISK),
    "the wrapper",
)


_ABILITIES = frozenset({Ability.KEEP, Ability.FREEZE})


def wrapper_argv(words: Sequence[str], command: Sequence[str]) -> list[str]:
    """The configured words with the command's in their place. Nothing is ever put together into one word."""
    place = words.index(PLACE)
    return [*words[:place], *command, *words[place + 1 :]]


def command_prelude(command: Command) -> bytes:
    """The lines that make a shell ready to become the command. Raises LauncherError `command_invalid`."""
    check_command(command)
    if bad := [name for name in command.env if not _NAME.fullmatch(name)]:
        raise LauncherError("command_invalid", f"a shell cannot set the variable {bad[0]!r}")
    lines = [f"cd -- {_quote(str(command.cwd))} || exit 126", "_hutch_newline=$(printf '\\nx')"]
    lines += ["_hutch_newline=${_hutch_newline%x}", "unset PATH PWD OLDPWD"]
    lines += [f"export {name}={_quote(value)}" for name, value in command.env.items()]
    prelude = "".join(line + "\n" for line in [*lines, ""]).encode(errors="surrogateescape")
    if len(prelude) > _MAX_PRELUDE:
        raise LauncherError("command_invalid", "the command's environment is larger than 1 MiB")
    return prelude


def _quote(text: str) -> str:
    """As one shell word on one line."""
    return '"$_hutch_newline"'.join(shlex.quote(part) for part in text.split("\n"))


def _cut(evidence: dict[Guarantee, Evidence]) -> Mapping[Guarantee, Evidence]:
    """Without those limits that hold only whoever does not leave."""
    if not evidence[Guarantee.PROCESSES].held:
        for guarantee in (Guarantee.MEMORY, Guarantee.PIDS, Guarantee.CPU):
            evidence[guarantee] = Evidence(
                held=False, mechanism="", detail="processes may leave the wrapper's, and its limits with it"
            )
    return evidence


class _Wrapped:
    """A wrapper program held before its start, and all that comes of it. Leaving the block ends it."""

    child: Child

    def __init__(self, words: Sequence[str], command: Sequence[str], spec: SandboxSpec, stdio: Stdio) -> None:
        self._is_bare = words[0] == PLACE
        self._argv = ["/bin/sh", "-c", _GATE, "hutch", *wrapper_argv(words, command)]
        self._run_id = spec.run_id
        self._stdio = stdio
        self.confinement = Confinement(spec.limits, spec.run_id, counts_apart=False)

    async def __aenter__(self) -> Self:
        try:
            env = {"PATH": _PATH, MARK: self._run_id}
            self.child = Child(self._argv, env=env, stdio=self._stdio, spawn=self.confinement.spawn)
        except BaseException:
            await self.confinement.release()
            raise
        try:
            self.confinement.hold(self.child.pid, self.child)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self.kill()
            finally:
                self.child.close()
                await self.confinement.release()

    def descendants(self) -> Iterator[int]:
        """Those that came of the wrapper program; none when the command is its own front."""
        return iter(()) if self._is_bare else proc.descendants(self.child.pid)

    async def wait(self) -> ExitStatus:
        await self.child.wait()
        return mark_memory(self.child.exit_status, self.confinement.memory_strikes())

    async def kill(self) -> None:
        """End what is in its process group and what carries its mark; leaving ends its control group too."""
        self.child.kill_group()
        await self.child.kill_and_reap()
        await kill_marked(self._run_id)


class _WrapperProcess(LocalProcess):
    def __init__(self, wrapped: _Wrapped, pipes: Pipes) -> None:
        super().__init__(wrapped.child, pipes.stdin, pipes.stdout, pipes.stderr)
        self._wrapped = wrapped

    async def wait(self) -> ExitStatus:
        return await self._wrapped.wait()

    def frozen(self) -> AbstractAsyncContextManager[bool]:
        return self._wrapped.confinement.freezer.frozen()

    def _command_pid(self) -> int | None:
        # many a wrapper ends all at once when it is asked itself, so the first other program below it is
        front = proc.program(self._child.pid)
        below = self._wrapped.descendants()
        return next((pid for pid in below if proc.program(pid) not in (None, front)), self._child.pid)

    async def _kill(self) -> None:
        await self._wrapped.kill()
