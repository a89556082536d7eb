"""What an account may reach: one table of nftables each, there while its run lasts. All of it blocks.

The rules are the host's own word on the account, beside the system call filter and Landlock. Without doors it
reaches nothing. A door is an address of the loopback that leads the account, and nobody else, to the port
where the egress listens for it; so two runs may know the same address.
"""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hutch_launchers.front import PATH
from hutch_launchers.launcher import LauncherError

_PATIENCE_S = 10.0
_FIRST, _LEADING, _LED = (
    -300,
    -100,
    -50,
)  # before every other rule of the host, which could accept; nat; after
_REFUSE = "reject with icmpx admin-prohibited"


@dataclass(frozen=True, slots=True)
class Opening:
    """What an account connects to, and the port of 127.0.0.1 that this leads to."""

    address: str
    port: int
    leads_to: int


def table(uid: int) -> str:
    """The name of an account's table."""
    return f"hutch_account_{uid}"


def shut_rules(uid: int, openings: Sequence[Opening] = ()) -> str:
    """The text for nft(8) after which the account reaches the openings and nothing else of any network."""
    return open_rules(uid) + "".join(f"{line}\n" for line in _lines(uid, openings))


def _lines(uid: int, openings: Sequence[Opening]) -> Iterator[str]:
    name = f"inet {table(uid)}"
    yield f"add table {name}"
    yield f"add chain {name} out {{ type filter hook output priority {_FIRST}; policy accept; }}"
    for one in openings:
        yield f"add rule {name} out meta skuid {uid} ip daddr {one.address} tcp dport {one.port} accept"
    yield f"add rule {name} out meta skuid {uid} counter {_REFUSE}"
    if openings:
        yield f"add chain {name} lead {{ type nat hook output priority {_LEADING}; policy accept; }}"
        yield f"add chain {name} led {{ type filter hook output priority {_LED}; policy accept; }}"
    for one in openings:
        met = f"meta skuid {uid} ip daddr {one.address} tcp dport {one.port}"
        yield f"add rule {name} lead {met} dnat ip to 127.0.0.1:{one.leads_to}"
        others = f"ip daddr 127.0.0.1 tcp dport {one.leads_to} meta skuid != {uid}"
        yield f"add rule {name} led {others} {_REFUSE}"


def open_rules(uid: int) -> str:
    """The text that takes it away again, whether it is there or not."""
    name = table(uid)
    return f"add table inet {name}\ndelete table inet {name}\n"


def apply(rules: str) -> None:
    """All of it or nothing. Raises LauncherError `sandbox_failed`."""
    nft = shutil.which("nft", path=PATH) or "nft"
    try:
        done = subprocess.Popen(
            [nft, "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={}
        )
        _, complaint = done.communicate(rules.encode(), _PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LauncherError("sandbox_failed", f"nft could not be run: {error}") from error
    if done.returncode != 0:
        raise LauncherError(
            "sandbox_failed",
            f"no firewall rule could be set: {complaint.decode(errors='replace').strip()[:300]}",
            "the kernel needs nftables (nf_tables, nft_reject_inet; nft_chain_nat for doors), and the daemon "
            "CAP_NET_ADMIN",
        )
