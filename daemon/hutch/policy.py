"""What a request may have: request + configuration -> plan -> spec. Pure, and it denies by default."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from hutch.access import Rights
from hutch.config import Config
from hutch.egress import Grant, parse_grant
from hutch.errors import HutchError
from hutch.mounts import HOME, WORKSPACE, VolumeMount, inside, read_mounts, refuse_ungranted
from hutch_launchers.spec import Command, EgressEndpoint, Guarantee, Limits, Mount, SandboxSpec

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENV = {
    "HOME": str(HOME),
    "USER": "agent",
    "LOGNAME": "agent",
    "PATH": _PATH,
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MAX_ARGUMENTS = 128 * 1024  # bytes of one argument: execve(2), MAX_ARG_STRLEN
_MAX_COMMAND = 1 << 20  # bytes of all arguments together with the environment, half of what execve takes
_LEAST_MEMORY = (
    16 << 20
)  # the daemon's own thread starts the sandbox in its control group: none may be smaller
_SHOWN = 200  # characters of a command kept for a person's eyes


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asks for, through whichever door."""

    command: str | Sequence[str] | None  # None: a kept sandbox
    volumes: Sequence[str] = ()  # "name:path" or "name:path:ro"; the name may hold templates
    args: Mapping[str, object] = field(default_factory=dict, repr=False)  # what templates take
    workspace: str | None = None  # "DIR" or "DIR:ro"
    method: str | None = None
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    network: str | None = None
    wall_s: float | None = None
    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    volume_wait_s: float = 0  # for a volume that someone else writes


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run gets: everything decided, nothing started."""

    method: str
    command: Command
    is_kept: bool  # the sandbox stays; `command` gives the defaults of those that come
    volumes: tuple[VolumeMount, ...]
    mounts: tuple[Mount, ...]
    limits: Limits
    grants: tuple[Grant, ...]
    needs: frozenset[Guarantee]
    requested: Mapping[str, object]
    granted: Mapping[str, object]
    volume_wait_s: float = 0

    def spec(
        self,
        run_id: str,
        folders: Mapping[str, Path],
        endpoint: EgressEndpoint | None,
        more: tuple[Mount, ...] = (),
    ) -> SandboxSpec:
        """Return the sandbox's spec; `folders` has a host folder for every volume of the plan, by its key."""
        volumes = tuple(Mount(folders[v.key], v.target, v.writable) for v in self.volumes)
        command = None if self.is_kept else self.command
        mounts = self.mounts + more + volumes
        return SandboxSpec(run_id, command, mounts, self.limits, endpoint, self.needs)

    def with_command(self, command: Command) -> "Plan":
        return replace(self, command=command)


def decide(wish: Wish, config: Config, rights: Rights, *, shell: str, networks: Collection[str]) -> Plan:
    """Say what this request may have. The same input gives the same plan.

    `shell` runs a command given as a string. `rights` and `networks` are what this caller may ask for.

    Raises:
        HutchError: `method_unknown`, `volume_invalid`, `volume_name_invalid`, `template_invalid`,
            `argument_invalid`, `volume_unknown`, `volume_read_only`, `workspace_denied`, `network_denied`,
            `limit_exceeded`, `command_invalid`, `cwd_invalid`, `env_invalid`.
    """
    method = wish.method or config.policy.method
    if method not in config.methods:
        raise HutchError(
            "method_unknown", f"no method is called {method!r}", f"known: {', '.join(sorted(config.methods))}"
        )
    volumes = read_mounts(wish.volumes, wish.args, config)
    refuse_ungranted(volumes, config, rights)
    workspace = _workspace(wish.workspace, config)
    _refuse_overlap([v.target for v in volumes] + [m.target for m in workspace])
    limits = _limits(wish, config)
    grants = _grants(wish.network, config, networks)
    return Plan(
        method=method,
        command=_command(wish, shell, volumes, has_workspace=bool(workspace)),
        is_kept=wish.command is None,
        volumes=volumes,
        mounts=tuple(Mount(path, PurePosixPath(path)) for path in config.policy.readable) + workspace,
        limits=limits,
        grants=grants,
        needs=config.policy.needs,
        requested=_requested(wish),
        granted=_granted(volumes, workspace, limits, grants, config),
        volume_wait_s=wish.volume_wait_s,
    )


def shown(command: str | Sequence[str] | None) -> str:
    """Return a command in one short line for a person's eyes."""
    words = command if isinstance(command, str) else " ".join(command or ("(kept sandbox)",))
    line = " ".join(words.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def command_for(wish: Wish, plan: Plan, shell: str) -> Command:
    """Return a further command for a kept sandbox that was opened under `plan`."""
    command = _command(wish, shell, plan.volumes, has_workspace=False)
    return command if wish.cwd else replace(command, cwd=plan.command.cwd)


def wall_limit(wish: Wish, config: Config) -> float:
    """Return the wall time of a command in a kept sandbox, in seconds. Raises HutchError `limit_exceeded`."""
    return _limits(wish, config).wall_s


def _command(wish: Wish, shell: str, volumes: Sequence[VolumeMount], *, has_workspace: bool) -> Command:
    words = wish.command if wish.command is not None else ()
    argv = (shell, "-c", words) if isinstance(words, str) else tuple(words)
    env = _ENV | _checked_env(wish.env)
    if wish.command is not None and (not argv or not argv[-1 if isinstance(words, str) else 0].strip()):
        raise HutchError("command_invalid", "the command is empty")
    sizes = [len(word.encode()) for word in argv] + [len(n) + len(v.encode()) for n, v in env.items()]
    if max(sizes) >= _MAX_ARGUMENTS or sum(sizes) >= _MAX_COMMAND:
        raise HutchError(
            "command_invalid", "the command is too long", "put it into a file, or pass it on stdin"
        )
    if any("\0" in word for word in argv):
        raise HutchError("command_invalid", "the command holds a NUL character")
    default = volumes[0].target if volumes else WORKSPACE if has_workspace else HOME
    cwd = inside(wish.cwd, "cwd_invalid", "the working folder") if wish.cwd else default
    return Command(argv, cwd, env)


def _checked_env(env: Mapping[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if not _ENV_NAME.fullmatch(name) or "\0" in value:
            raise HutchError(
                "env_invalid", f"{name!r} cannot be an environment variable", "names are A-Z, a-z, 0-9 and _"
            )
    return dict(env)


def _workspace(text: str | None, config: Config) -> tuple[Mount, ...]:
    if text is None:
        return ()
    folder, _, mode = text.rpartition(":") if text.endswith((":ro", ":rw")) else (text, "", "ro")
    path = Path(folder)
    if mode == "rw":
        raise HutchError(
            "workspace_denied",
            "a workspace can be mounted read-only for now",
            "work in a volume and copy the result, or mount the folder with :ro",
        )
    if not path.is_absolute() or ".." in path.parts or "\0" in folder:
        raise HutchError("workspace_denied", f"{folder!r} is not an absolute path without '..'")
    if not any(path.is_relative_to(root) for root in config.policy.workspaces):
        raise HutchError(
            "workspace_denied",
            f"{folder} is not within the folders that may be mounted",
            "the daemon's owner lists them in policy.workspaces",
        )
    return (Mount(path, WORKSPACE),)


def _refuse_overlap(targets: Sequence[PurePosixPath]) -> None:
    for n, one in enumerate(targets):
        for other in targets[:n]:
            if one.is_relative_to(other) or other.is_relative_to(one):
                raise HutchError(
                    "volume_invalid", f"two mounts overlap: {other} and {one}", "use separate paths"
                )


def _grants(network: str | None, config: Config, networks: Collection[str]) -> tuple[Grant, ...]:
    if network is None or network == "none":
        return ()
    if network not in networks or network not in config.networks:
        allowed = [name for name in networks if name in config.networks]
        raise HutchError(
            "network_denied",
            f"network {network!r} is not granted",
            f"granted here: {', '.join(['none', *sorted(allowed)])}; the daemon's owner adds others",
        )
    named = config.networks[network]
    return tuple(parse_grant(text) for text in named.allow) + tuple(
        parse_grant(text, is_host_service=True) for text in named.host_services
    )


def _limits(wish: Wish, config: Config) -> Limits:
    default, most = config.policy.limits, config.policy.max_limits
    asked = {name: getattr(wish, name) for name in ("wall_s", "memory_bytes", "cpus", "pids")}
    for name, value in asked.items():
        bound = getattr(most, name)
        if value is not None and value > bound:
            raise HutchError(
                "limit_exceeded",
                f"{name} of {_figure(name, value)} is over the bound of {_figure(name, bound)}",
                "the daemon's owner sets it in policy.max_limits",
            )
    if wish.memory_bytes is not None and wish.memory_bytes < _LEAST_MEMORY:
        raise HutchError(
            "limit_exceeded",
            f"{wish.memory_bytes} bytes of memory are under the bound of {_LEAST_MEMORY >> 20} MiB",
            "no sandbox can be made with less",
        )
    chosen = {name: getattr(default, name) if value is None else value for name, value in asked.items()}
    return Limits(**chosen, disk_bytes=default.disk_bytes)


def _figure(name: str, value: float) -> str:
    return f"{value / (1 << 20):.0f} MiB" if name == "memory_bytes" else f"{value:g}"


def _requested(wish: Wish) -> dict[str, object]:
    return {
        "method": wish.method,
        "volumes": list(wish.volumes),
        "workspace": wish.workspace,
        "network": wish.network or "none",
    }


def _granted(
    volumes: Sequence[VolumeMount],
    workspace: Sequence[Mount],
    limits: Limits,
    grants: Sequence[Grant],
    config: Config,
) -> dict[str, object]:
    return {
        "writes": [f"{v.name}{_origin(v)} at {v.target}" for v in volumes if v.writable],
        "reads": [f"{v.name}{_origin(v)} at {v.target}" for v in volumes if not v.writable]
        + [str(folder) for folder in config.policy.readable]
        + [f"{m.source} at {m.target}" for m in workspace],
        "network": [str(g) for g in grants],
        "limits": {
            name: getattr(limits, name) for name in ("wall_s", "memory_bytes", "cpus", "pids", "disk_bytes")
        },
        "needs": sorted(config.policy.needs),
    }


def _origin(mount: VolumeMount) -> str:
    at = f"@{mount.at}" if mount.at else ""
    return f", a fork of {mount.source}{at}," if mount.source else at
