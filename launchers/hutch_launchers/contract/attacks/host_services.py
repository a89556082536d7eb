"""Attacks on services of the host: sockets of daemons and desktops, key agents, shared memory, queues."""

import ctypes
import os
import socket
import stat
from pathlib import Path
from typing import Any

from hutch_launchers.contract.attacks.inside import (
    FACTS,
    SHOWN,
    Absent,
    Contained,
    Missed,
    allowed,
    attack,
    needs_sockets,
    workspace,
)

_ENGINES = (
    "/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock",
    "/run/crio/crio.sock", "/run/user/0/podman/podman.sock", "/run/user/1000/docker.sock",
    "/run/snapd.socket",
)  # fmt: skip
_BUSES = (
    "/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket", "/run/user/0/bus", "/run/user/1000/bus",
    "/run/systemd/private", "/run/systemd/notify", "/run/systemd/journal/socket", "/dev/log",
    "/run/host/notify",  # of systemd-nspawn
)  # fmt: skip
_DESKTOPS = ("/tmp/.X11-unix/X0", "/run/user/1000/wayland-0", "/run/user/0/wayland-0", "/tmp/.ICE-unix")
_TERMINALS = (
    "/tmp/tmux-0/default",
    "/tmp/tmux-1000/default",
    "/run/screen",
    "/run/user/1000/vscode-ipc.sock",
)
_libc = ctypes.CDLL(None, use_errno=True)


def _reach(paths: tuple[str, ...]) -> str | None:
    for path in paths:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            if client.connect_ex(path) == 0 or os.path.lexists(path):
                return path
    raise Contained("none is there")


@attack("host/container-engines")
def container_engines() -> str | None:
    return _reach(_ENGINES)


@attack("host/container-engines")
def the_service_managers_tools() -> str | None:
    if "DOCKER_HOST" in os.environ or "CONTAINER_HOST" in os.environ:
        return "the environment names one"
    raise Contained("the environment names none")


@attack("host/d-bus")
def message_buses() -> str | None:
    return _reach(_BUSES)


@attack("host/d-bus")
def a_bus_of_the_environment() -> str:
    return os.environ.get("DBUS_SESSION_BUS_ADDRESS") or _none()


@attack("host/desktops")
def displays() -> str | None:
    return _reach(_DESKTOPS)


@attack("host/desktops")
def abstract_display() -> None:
    _abstract("/tmp/.X11-unix/X0")


@attack("host/desktops")
def a_display_of_the_environment() -> str:
    names = [n for n in ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY") if n in os.environ]
    return str(names) if names else _none()


@attack("host/terminals-and-editors")
def multiplexers_and_editors() -> str | None:
    return _reach(_TERMINALS)


@attack("host/abstract-sockets")
def the_canary_that_listens_on_the_host() -> None:
    _abstract(FACTS["abstract_socket"])


@attack("host/abstract-sockets")
def every_abstract_socket_that_is_listed() -> str | None:
    names = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    foreign = [name for name in names if name.startswith("@")]
    if foreign:
        return str(foreign[:3])
    raise Contained("the namespace lists none")


@attack("workspace/sockets")
def a_socket_in_the_workspace() -> str | None:
    """A read-only mount does not stop connect."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(workspace("service.sock"))
        return "connected"


@attack("workspace/sockets")
def a_datagram_to_the_workspace() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", workspace("datagram.sock"))


@attack("host/path-sockets")
def any_socket_in_the_file_tree() -> str | None:
    """But for /usr, which is large: programs alone are there, and nothing of it can be written."""
    folders = ["/"]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:
            continue
        for entry in entries:
            if entry.path in ("/proc", "/sys", "/usr", *SHOWN) or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif not entry.is_file(follow_symlinks=False) and _is_socket(entry.path):
                return entry.path
    raise Contained("there is none")


def _is_socket(path: str) -> bool:
    return os.path.lexists(path) and stat.S_ISSOCK(os.lstat(path).st_mode)


@attack("workspace/sockets")
def a_fifo_of_the_host_in_the_workspace() -> None:
    os.open(workspace("pipe"), os.O_WRONLY | os.O_NONBLOCK)


@allowed("host/abstract-sockets")
@allowed("host/path-sockets")
@allowed("workspace/sockets")
@allowed("host/container-engines")
@allowed("host/d-bus")
@allowed("host/desktops")
@allowed("host/terminals-and-editors")
def unix_sockets_of_its_own_work() -> None:
    needs_sockets()
    for name in ("\0inside", f"/tmp/inside-{os.getpid()}.sock"):
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(name)
            server.listen()
            client.connect(name)


@attack("host/ssh-agent")
def an_agent_for_keys() -> str:
    names = [n for n in ("SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_AGENT_INFO") if n in os.environ]
    return str(names) if names else _none()


@attack("host/ssh-agent")
def keys_in_the_home_folder() -> str | None:
    for name in (
        ".ssh",
        ".gnupg",
        ".aws",
        ".config/gcloud",
        ".netrc",
        ".git-credentials",
        ".docker/config.json",
    ):
        if os.path.lexists(os.path.join(os.path.expanduser("~"), name)):
            return name
    raise Contained("the home folder is empty")


@allowed("host/ssh-agent")
def the_home_folder_is_writable() -> None:
    Path("~/.ssh").expanduser().mkdir()


@attack("host/shared-memory")
def system_v_memory() -> int:
    return _call("shmget", FACTS["ipc_key"], 0, 0o600)


@attack("host/shared-memory")
def system_v_semaphores() -> int:
    return _call("semget", FACTS["ipc_key"], 1, 0o600)


@attack("host/shared-memory")
def system_v_queue() -> int:
    return _call("msgget", FACTS["ipc_key"], 0o600)


@attack("host/shared-memory")
def whatever_is_listed() -> str | None:
    for name in ("shm", "sem", "msg"):
        lines = Path("/proc/sysvipc", name).read_text().splitlines()
        if len(lines) > 1:
            return lines[1]
    raise Contained("the namespace lists none")


@attack("host/shared-memory")
def posix_memory() -> None:
    os.open(f"/dev/shm/{FACTS['shared_memory']}", os.O_RDONLY)


@attack("host/shared-memory")
def posix_queue() -> int:
    return _call("mq_open", FACTS["queue"].encode(), os.O_RDONLY)


@allowed("host/shared-memory")
def memory_and_queues_of_its_own_work() -> None:
    try:
        assert _call("shmget", 77, 4096, 0o1600) >= 0
    except OSError as error:
        raise Absent("a sandbox of this method has no such memory") from error
    assert _call("msgget", 77, 0o1600) >= 0
    Path("/dev/shm/own").write_text("x")


def _call(name: str, *arguments: Any) -> int:
    result: int = getattr(_libc, name)(*arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _abstract(name: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect("\0" + name)
        raise Missed(f"connected to @{name}")


def _none() -> str:
    raise Contained("the environment names none")
