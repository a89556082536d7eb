"""The method `account`: each run under a dedicated account of the host that owns and reaches nothing.

What it may read or write is granted by access lists for the length of the run; a rule of the host's
firewall and a filter keep it from the network. Where the kernel has Landlock it opens nothing else; without,
what everybody may read, it reads. For a daemon of root's. The accounts are made once, by an explicit
command: hutch method setup NAME.
"""

import os
import platform
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import anyio
from anyio import to_thread

from hutch_launchers.front import PATH, PLACE, Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits
from hutch_launchers.host_view import HostView, without_system
from hutch_launchers.hosts import hosts
from hutch_launchers.landlock import OLDEST, abi, restrict_this_thread
from hutch_launchers.launcher import LauncherError
from hutch_launchers.limits import pins_cpus
from hutch_launchers.methods.account import lending
from hutch_launchers.methods.account.accounts import (
    OFFLINE,
    ONLINE,
    Account,
    find_accounts,
    make_accounts,
    remove_accounts,
)
from hutch_launchers.methods.account.doors import make_doors
from hutch_launchers.own_paths import OwnPaths, make_own_paths, refuse_protected
from hutch_launchers.seccomp import seccomp_filter
from hutch_launchers.sources import check_target, open_sources
from hutch_launchers.spec import Ability, EgressEndpoint, Guarantee, SandboxSpec
from hutch_launchers.thread_confinement import load_filter, start_confined
from hutch_launchers.thread_mounts import exchange

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
        abilities=frozenset({Ability.KEEP, Ability.DOORS, Ability.FREEZE}),
        processes=0,  # setpriv becomes the command
    )

    name: str = "account"
    prefix: str = "hutch"  # of the accounts' names: hutch-offline-0, hutch-offline-1, …
    accounts: int = 4  # how many the set-up makes: as many runs at once
    online: int = 2  # how many besides, for runs with doors: hutch-online-0, …
    journals: Path = Path("/var/lib/hutch/accounts")
    system: tuple[str, ...] = ("/usr",)  # host folders that hold programs, to be read
    readable: tuple[str, ...] = ()  # further host paths that the account may read, if it may at all
    proc: Literal["hidden", "visible"] = "hidden"  # visible: all of /proc, the host's list of processes too
    probe_cache: Path | None = None

    def __post_init__(self) -> None:
        HostView(self.system, self.readable, self.proc)
        if not _FEWEST <= self.accounts <= 1000 or not 0 <= self.online <= 1000:
            raise ValueError(f"'accounts' must be {_FEWEST} to 1000, 'online' 0 to 1000")
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
        kinds = [account.kind for account in self._found()]
        if (offline := kinds.count(OFFLINE)) < _FEWEST:
            raise LauncherError(
                "method_unavailable",
                f"there are {offline} accounts called {self.prefix}-offline-N, {_FEWEST} are needed",
                f"make them, once for this host: sudo hutch method setup {self.name}",
            )
        return Tool(
            shutil.which("setpriv", path=PATH) or "", f"{offline} offline, {kinds.count(ONLINE)} online"
        )

    def check(self, spec: SandboxSpec) -> None:
        refuse_protected(self.name, spec.mounts)

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        """Blocks; `_prepared` calls it in a thread."""
        for mount in spec.mounts:
            check_target(mount.target)
        egress = spec.egress if spec.egress and spec.egress.made else None
        lent = lending.lend(self._found(), ONLINE if egress else OFFLINE, self.journals)
        held.callback(lent.give_back)
        with ExitStack() as opened:
            sources = open_sources(spec.mounts, opened)
            doors = make_doors(egress, opened) if egress else None
            lent.prepare(spec.run_id, spec.mounts, doors.openings if doors else ())
            own = make_own_paths(spec.run_id, spec.mounts)
            _hand_over(own, lent.account)
            if doors:
                doors.open()
            confine = self._confinement(spec, own, sources, egress, held)
        words = account_argv(tool.path, lent.account)
        return Start(
            words,
            replace(spec, egress=None),  # its doors are open
            spawn=partial(start_confined, confine),
            adapt=lambda command: own.command(without_system(command)),
        )

    def _confinement(
        self,
        spec: SandboxSpec,
        own: OwnPaths,
        sources: Sequence[int],
        egress: EgressEndpoint | None,
        held: ExitStack,
    ) -> Callable[[], None]:
        """What a thread takes on before it starts the run."""
        names = _write_names(own, egress) if egress else {}
        program = seccomp_filter(
            pins_cpus=pins_cpus(spec.limits), is_lonely=True, is_client=egress is not None
        )
        assert program is not None
        ruleset = None
        if abi() >= OLDEST:
            readable = (*self.readable, *(str(file) for file in names.values()))
            view = HostView(self.system, readable, self.proc)
            ports = {each.port for each in egress.made if not each.is_udp} if egress else ()
            ruleset = view.ruleset(own, sources, ports)
            held.callback(os.close, ruleset)

        def confine() -> None:
            if names:
                exchange(names)
            if ruleset is not None:
                restrict_this_thread(ruleset)
            load_filter(program)

        return confine

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
        return await to_thread.run_sync(make_accounts, self.prefix, self._counts, self.journals)

    async def undo_set_up(self) -> Sequence[str]:
        """As `NeedsSetUp`."""
        return await to_thread.run_sync(remove_accounts, self.prefix, self.journals)

    @property
    def _counts(self) -> Mapping[str, int]:
        return {OFFLINE: self.accounts, ONLINE: self.online}

    def _found(self) -> tuple[Account, ...]:
        return find_accounts(self.prefix)


def account_argv(setpriv: str, account: Account) -> Sequence[str]:
    """The words around a command."""
    become = [f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    drop = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    return [setpriv, *become, *drop, "--", "/bin/sh", "-c", f'umask {_UMASK}; exec "$@"', "hutch", PLACE]


def _write_names(own: OwnPaths, egress: EgressEndpoint) -> Mapping[str, Path]:
    """What is to be at paths of the host, so that the names of the doors are known."""
    nowhere_else = b"passwd: files\ngroup: files\nhosts: files\n"
    written = {}
    for path, content in (("/etc/hosts", hosts(egress)), ("/etc/nsswitch.conf", nowhere_else)):
        written[path] = own.folder / path.rpartition("/")[2]
        written[path].write_bytes(content)
        written[path].chmod(0o444)
    return written


def _hand_over(own: OwnPaths, account: Account) -> None:
    """The run's folder stays root's, so that nothing else can be put in its place."""
    own.folder.chmod(0o711)
    for folder in (own.home, own.temporary):
        os.chown(folder, account.uid, account.gid)
