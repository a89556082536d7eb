"""The files of /etc that are a sandbox's own: who it is, and the names that it knows."""

from collections.abc import Mapping

from hutch_launchers.hosts import name_files
from hutch_launchers.spec import EgressEndpoint
from hutch_launchers.system_view import HOSTNAME, SystemView, group, passwd


def own_files(view: SystemView, egress: EgressEndpoint | None) -> Mapping[str, bytes]:
    """Every small file of /etc by its path inside, those of the view among them."""
    return {
        **dict(view.files),
        "/etc/passwd": passwd(),
        "/etc/group": group(),
        **name_files(egress),
        "/etc/hostname": f"{HOSTNAME}\n".encode(),
    }
