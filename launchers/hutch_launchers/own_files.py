"""The files of /etc that are a sandbox's own: who it is, and the names that it knows."""

from collections.abc import Mapping
from ipaddress import ip_address

from hutch_launchers.spec import EgressEndpoint
from hutch_launchers.system_view import HOSTNAME, SystemView, group, passwd


def own_files(view: SystemView, egress: EgressEndpoint | None) -> Mapping[str, bytes]:
    """Every small file of /etc by its path inside, those of the view among them."""
    return {
        **dict(view.files),
        "/etc/passwd": passwd(),
        "/etc/group": group(),
        "/etc/hosts": hosts(egress),
        "/etc/hostname": f"{HOSTNAME}\n".encode(),
        "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
        "/etc/resolv.conf": b"# names are resolved by /etc/hosts alone\noptions timeout:1 attempts:1\n",
    }


def hosts(egress: EgressEndpoint | None) -> bytes:
    """The content of /etc/hosts: the sandbox itself and its doors."""
    lines = [f"127.0.0.1 localhost {HOSTNAME}", "::1 localhost"]
    doors = egress.doors if egress else ()
    lines += [f"{door.address} {door.name}" for door in doors if not _is_address(door.name)]
    return "".join(f"{line}\n" for line in dict.fromkeys(lines)).encode()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
