"""The method `account`: each run under a dedicated account of the host that owns and reaches nothing.

What it may read or write is granted by access lists for the length of the run; a rule of the host's
firewall and a filter keep it from the network. Where the kernel has Landlock it opens nothing else; without,
what everybody may read, it reads. For a daemon of root's. The accounts are made once, by an explicit
command: hutch method setup NAME.
"""

import os
import platform
import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

import anyio
from anyio import to_thread

from hutch_launchers.front import PATH, PLACE, Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits
from hutch_launchers.host_view import HostView, without_system
from hutch_launchers.landlock import OLDEST, abi, restrict_this_thread
from hutch_launchers.launcher import LauncherError
from hutch_launchers.limits import pins_cpus
from hutch_launchers.methods.account import lending
from hutch_launchers.methods.account.accounts import Account, find_accounts, make_accounts, remove_accounts
from hutch_launchers.own_paths import OwnPaths, make_own_paths, refuse_protected
from hutch_launchers.seccomp import seccomp_filter
from hutch_launchers.sources import check_target, open_sources
from hutch_launchers.spec import Ability, Guarantee, SandboxSpec
from hutch_launchers.thread_confinement import load_filter, start_confined

T = TypeVar("T")

_UMASK = "077"
_FEWEST = 2  # the probe has two sandboxes at once


@dataclass(frozen=True, slots=True)
class AccountLauncher(FrontMethod):
    """Configuration only."""

    traits: ClassVar[Traits] = Traits(
        mechanisms={
            Guarantee.NETWORK: "firewall rule of the account, seccomp",
            Guarantee.FILESYSTEM: "access lists, Landlock",
            Guarantee.PROCESSES: "the account, Landlock",
            Guarantee.SYSCALLS: "seccomp",
        },
        abilities=frozenset({Ability.KEEP, Ability.FREEZE}),
        processes=0,  # setpriv becomes the command
    )

    name: str = "account"
    prefix: str = "hutch"  # of the accounts' names: hutch-offline-0, hutch-offline-1, …
    accounts: int = 4  # how many the set-up makes: as many runs at once
    journals: Path = Path("/var/lib/hutch/accounts")
    system: tuple[str, ...] = ("/usr",)  # host folders that hold programs, to be read
    readable: tuple[str, ...] = ()  # further host paths that the account may read, if it may at all
    proc: Literal["hidden", "visible"] = "hidden"  # visible: all of /proc, the host's list of processes too
    probe_cache: Path | None = None

    def __post_init__(self) -> None:
        HostView(self.system, self.readable, self.proc)
        if not _FEWEST <= self.accounts <= 1000:
            raise ValueError(f"'accounts' must be {_FEWEST} to 1000")
        if not self.prefix.isascii() or not self.prefix.isalnum() or not self.prefix.islower():
            raise ValueError("'prefix' must be of a-z and 0-9")

    async def find(self) -> Tool:
        if os.geteuid() != 0:
            raise LauncherError(
                "method_unavailable",
                "only a daemon of root's can run something under another account",
                "run it as the system service: sudo systemctl enable --now hutch",
            )
        for program, package in (("setpriv", "util-linux"), ("nft", "nftables")):
            if shutil.which(program, path=PATH) is None:
                raise LauncherError(
                    "method_unavailable",
                    f"the program {program!r} is not installed",
                    f"apt install {package}",
                )
        if seccomp_filter(is_lonely=True) is None:
            reason = f"no table of system calls for {platform.machine()}"
            raise LauncherError("method_unavailable", reason, "choose another method; see: hutch doctor")
        if len(found := self._found()) < _FEWEST:
            raise LauncherError(
                "method_unavailable",
                f"there are {len(found)} accounts called {self.prefix}-offline-N, {_FEWEST} are needed",
                f"make them, once for this host: sudo hutch method setup {self.name}",
            )
        return Tool(shutil.which("setpriv", path=PATH) or "")

    def check(self, spec: SandboxSpec) -> None:
        refuse_protected(self.name, spec.mounts)

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        """Blocks; `_prepared` calls it in a thread."""
        for mount in spec.mounts:
            check_target(mount.target)
        program = seccomp_filter(pins_cpus=pins_cpus(spec.limits), is_lonely=True)
        assert program is not None
        lent = lending.lend(self._found(), self.journals)
        held.callback(lent.give_back)
        with ExitStack() as opened:
            sources = open_sources(spec.mounts, opened)
            lent.prepare(spec.run_id, spec.mounts)
            own = make_own_paths(spec.run_id, spec.mounts)
            _hand_over(own, lent.account)
            spawn = partial(_spawn, program, self._ruleset(own, sources, held))
        words = account_argv(tool.path, lent.account)
        return Start(words, spec, spawn=spawn, adapt=lambda command: own.command(without_system(command)))

    def _ruleset(self, own: OwnPaths, sources: Sequence[int], held: ExitStack) -> int | None:
        if abi() < OLDEST:
            return None
        ruleset = HostView(self.system, self.readable, self.proc).ruleset(own, sources)
        held.callback(os.close, ruleset)
        return ruleset

    async def _prepared(self, spec: SandboxSpec, held: AsyncExitStack) -> Start:
        return await held.enter_async_context(self._in_a_thread(spec))

    @asynccontextmanager
    async def _in_a_thread(self, spec: SandboxSpec) -> AsyncGenerator[Start]:
        tool = await self.find()
        taken = ExitStack()
        try:
            yield await to_thread.run_sync(self.prepare, tool, spec, taken)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(taken.close)

    async def reap(self, run_id: str) -> bool:
        found = await FrontMethod.reap(self, run_id)
        if os.geteuid() != 0 or not self.journals.is_dir():
            return found
        return await to_thread.run_sync(lending.reap, self._found(), self.journals, run_id) or found

    async def set_up(self) -> Sequence[str]:
        """As `NeedsSetUp`."""
        return await to_thread.run_sync(make_accounts, self.prefix, self.accounts, self.journals)

    async def undo_set_up(self) -> Sequence[str]:
        """As `NeedsSetUp`."""
        return await to_thread.run_sync(remove_accounts, self.prefix, self.journals)

    def _found(self) -> tuple[Account, ...]:
        return find_accounts(self.prefix)


def account_argv(setpriv: str, account: Account) -> Sequence[str]:
    """The words around a command."""
    become = [f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    drop = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    return [setpriv, *become, *drop, "--", "/bin/sh", "-c", f'umask {_UMASK}; exec "$@"', "hutch", PLACE]


def _spawn(program: bytes, ruleset: int | None, start: Callable[[], T]) -> T:
    def confine() -> None:
        if ruleset is not None:
            restrict_this_thread(ruleset)
        load_filter(program)

    return start_confined(confine, start)


def _hand_over(own: OwnPaths, account: Account) -> None:
    """The run's folder stays root's, so that nothing else can be put in its place."""
    own.folder.chmod(0o711)
    for folder in (own.home, own.temporary):
        os.chown(folder, account.uid, account.gid)
