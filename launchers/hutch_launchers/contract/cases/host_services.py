"""Host services: sockets of daemons and desktops, key agents, shared memory."""

from hutch_launchers.contract.case import Case
from hutch_launchers.spec import Guarantee

_FILES = frozenset({Guarantee.FILESYSTEM})
_BOTH = frozenset({Guarantee.FILESYSTEM, Guarantee.NETWORK})

CASES = (
    Case("host/container-engines", "Docker, podman, containerd sockets", _FILES),
    Case("host/d-bus", "D-Bus, systemd, the journal", _FILES),
    Case("host/desktops", "X11 and Wayland", _BOTH),
    Case("host/abstract-sockets", "Abstract unix sockets of the host", frozenset({Guarantee.NETWORK})),
    Case("host/path-sockets", "A listening socket anywhere in the file tree", _FILES),
    Case("host/terminals-and-editors", "tmux, screen and editor sockets", _FILES),
    Case("host/ssh-agent", "ssh-agent, key files", _FILES),
    Case(
        "host/shared-memory",
        "System V and POSIX shared memory, semaphores, queues",
        frozenset({Guarantee.FILESYSTEM, Guarantee.PROCESSES}),
    ),
)
