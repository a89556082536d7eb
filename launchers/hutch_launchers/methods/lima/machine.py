"""The description of the virtual machine, as Lima reads it. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hutch_launchers.far import SLICE

_HOST = "192.168.5.2"  # host.lima.internal, Lima's user-mode gateway
_EVERY_PORT = [1, 65535]


@dataclass(frozen=True, slots=True)
class Machine:
    """What the machine has of the host."""

    template: str
    folders: Sequence[Path]  # shown at their own paths, writable: what a run gets of them is bound once more
    host_services: Sequence[int]  # ports of the host's loopback that runs may reach
    forwarded_ports: Sequence[int]  # of the machine, shown at the host's loopback
    has_ssh_agent: bool


def lima_yaml(machine: Machine) -> str:
    """The machine as JSON, which is YAML: nothing in it is put together by hand."""
    return json.dumps(
        {
            "minimumLimaVersion": "1.1.0",
            "base": machine.template,
            "mounts": [{"location": str(folder), "writable": True} for folder in machine.folders],
            "containerd": {"system": False, "user": False},
            "ssh": {"forwardAgent": machine.has_ssh_agent, "loadDotSSHPubKeys": False},
            "propagateProxyEnv": False,
            "portForwards": _forwards(machine.forwarded_ports),
            "provision": [{"mode": "system", "script": provision_script(machine.host_services)}],
        },
        indent=2,
    )


def _forwards(ports: Sequence[int]) -> list[dict[str, object]]:
    """The first rule that matches counts; without the last two Lima forwards whatever listens."""
    unwanted = ("127.0.0.1", "0.0.0.0")  # noqa: S104 - what is not forwarded
    wanted: list[dict[str, object]] = [{"guestPort": port, "hostIP": "127.0.0.1"} for port in ports]
    return [*wanted, *({"guestIP": ip, "guestPortRange": _EVERY_PORT, "ignore": True} for ip in unwanted)]


def provision_script(host_services: Sequence[int]) -> str:
    """What root does in the machine at each of its starts: programs, and a firewall around all runs."""
    ports = ", ".join(str(int(port)) for port in host_services)
    allow = f'    socket cgroupv2 level 1 "{SLICE}" ip daddr {_HOST} tcp dport {{ {ports} }} accept\n'
    return f"""#!/bin/sh
set -eu
if ! command -v bwrap >/dev/null || ! command -v nft >/dev/null; then
  DEBIAN_FRONTEND=noninteractive apt-get -q update
  DEBIAN_FRONTEND=noninteractive apt-get -q install -y bubblewrap nftables python3
fi
systemctl start {SLICE}  # a rule names a group that is there
nft -f - <<'RULES'
table inet hutch
delete table inet hutch
table inet hutch {{
  chain output {{
    type filter hook output priority 0; policy accept;
{allow if ports else ""}    socket cgroupv2 level 1 "{SLICE}" reject
  }}
}}
RULES
"""
