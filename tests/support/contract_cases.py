"""The cases of the contract that are the daemon's own; those of a method stand with the suite of the product.

Each is shown by a test that says `@shows(key)`. A case that nothing here can attack yet is *not applicable*,
with its reason; nothing is left unknown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

Outcome = Literal["held", "refused", "not applicable"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Case:
    """`key` is group/name. `outcome` is to be seen: the attack is *held*, or the request is *refused*."""

    key: str
    title: str
    outcome: Outcome = "held"
    not_applicable: str = ""  # why, where nothing can be attacked yet

    @property
    def group(self) -> str:
        return self.key.partition("/")[0]


GROUPS = {
    "files": "Files",
    "network": "Network",
    "secrets": "Secrets",
    "volumes": "Volumes",
    "daemon": "The daemon",
    "life": "Life cycle",
}

CASES: tuple[Case, ...] = (
    Case("files/api-paths", "`..`, NUL and absolute paths in anything that takes a path", outcome="refused"),
    Case("files/workspace-sockets", "A listening socket or FIFO of the host in a granted workspace"),
    Case("files/fifo", "A FIFO in a volume never blocks its commit or a reader"),
    Case("files/setuid-outside", "No setuid bit or such attribute on the host, nor in a read-only check-out"),
    Case("files/no-stubs", "Nothing is left in a workspace after a run"),
    Case("files/working-folder", "A working folder or workspace outside the grants", outcome="refused"),
    Case("files/no-sandbox", "Asking for no sandbox", outcome="refused"),
    Case("files/planted", "A hook, task or setting that the host would run, planted in a writable workspace"),
    Case("files/git", "git works beside protected paths of a writable workspace"),
    Case("files/review", "A workspace under review, applied by another than its owner; links out of it"),
    Case("network/own-port", "The daemon's own port, straight, by name, and asked of its own proxy"),
    Case(
        "network/dead-daemon",
        "kill -9 of the daemon during a transfer: a sandbox reaches nothing any more, a new one does",
    ),
    Case("secrets/at-rest", "Nor in its log, database, answers, store, or any command line of the host"),
    Case(
        "secrets/used", "A secret that a shell, Claude Code and Codex use: in memory, dumps, answers, volumes"
    ),
    Case("secrets/placeholders", "A placeholder out of its place, toward another host, after its run"),
    Case("secrets/logins", "Logins of the host's agents, from a granted home into a volume"),
    Case(
        "secrets/host-programs",
        "LD_PRELOAD and its like, given to a run, in programs that the host runs for it",
    ),
    Case("volumes/links", "A link in a volume is stored as one and never followed"),
    Case("volumes/odd-files", "FIFOs, sockets and odd names in a volume"),
    Case("volumes/sparse", "A sparse file of 1 TiB: kept or refused, at no cost of memory"),
    Case("volumes/same-size-edit", "An edit of the same size with its time set back"),
    Case("volumes/names", "Volume names that leave the store, are empty, or far too long", outcome="refused"),
    Case("volumes/read-only", "A read-only volume refuses writes"),
    Case(
        "volumes/stored-names",
        "write_volume to names that cannot be stored",
        outcome="refused",
    ),
    Case("volumes/held", "A volume that is being written"),
    Case("volumes/kill", "kill -9 of the daemon while a volume is written"),
    Case("daemon/token", "No token, a wrong token; the token's file", outcome="refused"),
    Case(
        "daemon/host-and-origin",
        "A foreign Host or Origin, Origin null, a simple cross-site POST",
        outcome="refused",
    ),
    Case("daemon/peer", "Another local user on the unix socket", outcome="refused"),
    Case("daemon/non-loopback", "Binding anything but loopback without the explicit key", outcome="refused"),
    Case("daemon/read-volume", "read_volume with `..` or through a link"),
    Case("daemon/hostile-json", "Oversized and deeply nested JSON", outcome="refused"),
    Case("daemon/many-calls", "A thousand calls at once, and stalled clients"),
    Case("daemon/output", "Terminal escapes and forged log lines in output"),
    Case("daemon/flood", "Endless output, with and without line ends"),
    Case("daemon/arguments", "Arguments that begin with `-`, shell metacharacters, `{command}`"),
    Case("daemon/widen", "No call can widen the policy", outcome="refused"),
    Case(
        "daemon/principals",
        "Another principal's run, session, volume; a forged, expired or revoked token",
        outcome="refused",
    ),
    Case(
        "life/kill-daemon",
        "kill -9 of the daemon: no process, mount, control group, lease or folder is left",
    ),
    Case("life/stop-daemon", "SIGTERM to the daemon while hostile code runs"),
    Case("life/disk-full", "A full disk: a clean error, the database intact"),
    Case(
        "life/missing-method",
        "A method or a guarantee that is missing: nothing is executed",
        outcome="refused",
    ),
    Case("life/audit", "An altered audit log", not_applicable="there is no audit log yet"),
)
BY_KEY = {case.key: case for case in CASES}


def shows(key: str) -> Callable[[T], T]:
    """Mark a test function as showing a case; several tests may show one."""
    if key not in BY_KEY:
        raise LookupError(f"no case is called {key!r}")

    def mark(test: T) -> T:
        shown = (*getattr(test, "shown_cases", ()), key)
        setattr(test, "shown_cases", shown)  # noqa: B010 - a function has no such attribute by its type
        return test

    return mark
