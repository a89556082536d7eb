"""The names that a sandbox knows, and whom it asks for others."""

from collections.abc import Mapping
from ipaddress import ip_address

from hutch_launchers.spec import EgressEndpoint
from hutch_launchers.system_view import HOSTNAME


def name_files(egress: EgressEndpoint | None) -> Mapping[str, bytes]:
    """The files of /etc by which names are resolved, by their paths inside."""
    resolver = egress.resolver if egress else ""
    asked = f"nameserver {resolver}" if resolver else "# names are resolved by /etc/hosts alone"
    sources = "files dns" if resolver else "files"
    # Ours always answers, and a client that gave up sooner would tell of a failure that is none
    patience = "timeout:5 attempts:3" if resolver else "timeout:1 attempts:1"
    return {
        "/etc/hosts": hosts(egress),
        "/etc/nsswitch.conf": f"passwd: files\ngroup: files\nhosts: {sources}\n".encode(),
        "/etc/resolv.conf": f"{asked}\noptions {patience}\n".encode(),
    }


def hosts(egress: EgressEndpoint | None) -> bytes:
    """The content of /etc/hosts: the sandbox itself and its doors."""
    lines = [f"127.0.0.1 localhost {HOSTNAME}", "::1 localhost"]
    doors = egress.doors if egress else ()
    lines += [f"{door.address} {door.name}" for door in doors if not is_address(door.name)]
    return "".join(f"{line}\n" for line in dict.fromkeys(lines)).encode()


def is_address(name: str) -> bool:
    """Whether a door's name stands for itself."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
