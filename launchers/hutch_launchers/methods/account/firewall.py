"""What an account may reach: one table of nftables each, there while its run lasts. All of it blocks.

The rule is the host's own word on the account, beside the system call filter, which refuses it every
socket.
"""

import shutil
import subprocess

from hutch_launchers.front import PATH
from hutch_launchers.launcher import LauncherError

_PATIENCE_S = 10.0
_PRIORITY = -300  # before every other rule of the host, which could accept


def table(uid: int) -> str:
    """The name of an account's table."""
    return f"hutch_account_{uid}"


def shut_rules(uid: int) -> str:
    """The text for nft(8) after which the account reaches nothing, the host's loopback included."""
    name = table(uid)
    return (
        f"add table inet {name}\n"
        f"flush table inet {name}\n"
        f"add chain inet {name} out {{ type filter hook output priority {_PRIORITY}; policy accept; }}\n"
        f"add rule inet {name} out meta skuid {uid} counter reject with icmpx admin-prohibited\n"
    )


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
            "the kernel needs nftables (nf_tables, nft_reject_inet), and the daemon CAP_NET_ADMIN",
        )
