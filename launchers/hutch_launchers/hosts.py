"""The names that a sandbox knows."""

from ipaddress import ip_address

from hutch_launchers.spec import EgressEndpoint
from hutch_launchers.system_view import HOSTNAME


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
