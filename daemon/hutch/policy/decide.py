"""The decision: request + configuration + rights -> plan. Pure, and it denies by default."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import PurePosixPath

from hutch.access import Rights
from hutch.config import Config
from hutch.egress import Network
from hutch.errors import HutchError
from hutch.mounts import WORKSPACE, VolumeMount, read_mounts, refuse_ungranted
from hutch.policy.bounds import read_limits
from hutch.policy.commands import read_command, shell_of
from hutch.policy.images import grant_image
from hutch.policy.network import grant_network
from hutch.policy.plan import Plan
from hutch.policy.wish import Wish
from hutch.policy.workspace import grant_workspace
from hutch.workspaces import GrantedWorkspace, Mode
from hutch_launchers.spec import Limits, Mount

_LEARNING = "whatever is tried is recorded"


def decide(wish: Wish, config: Config, rights: Rights, *, shell: str, networks: Collection[str]) -> Plan:
    """Say what this request may have. The same input gives the same plan.

    `shell` runs a command given as a string. `rights` and `networks` are what this caller may ask for.

    Raises:
        HutchError: `method_unknown`, `volume_invalid`, `volume_name_invalid`, `template_invalid`,
            `argument_invalid`, `volume_unknown`, `volume_read_only`, `workspace_denied`, `network_denied`,
            `image_denied`, `limit_exceeded`, `command_invalid`, `cwd_invalid`, `env_invalid`.
    """
    method = wish.method or config.policy.method
    if method not in config.methods:
        raise HutchError(
            "method_unknown",
            f"no method is called {method!r}",
            f"configured: {', '.join(sorted(config.methods))}; others need a table in [methods]",
        )
    volumes = read_mounts(wish.volumes, wish.args, config)
    refuse_ungranted(volumes, config, rights)
    workspace = grant_workspace(wish.workspace, config, rights)
    folders = [PurePosixPath(path) for path in (*config.policy.readable, *config.policy.writable)]
    _refuse_overlap([v.target for v in volumes] + ([WORKSPACE] if workspace else []), folders)
    image = grant_image(wish, config, method)
    limits = read_limits(wish, config.policy.limits, config.policy.max_limits)
    network = grant_network(wish.network, config, networks)
    return Plan(
        method=method,
        command=read_command(wish, shell_of(image, shell), volumes, has_workspace=bool(workspace)),
        is_kept=wish.command is None,
        volumes=volumes,
        mounts=tuple(Mount(path, PurePosixPath(path)) for path in config.policy.readable)
        + tuple(Mount(path, PurePosixPath(path), writable=True) for path in config.policy.writable),
        workspace=workspace,
        limits=limits,
        bounds=(config.policy.limits, config.policy.max_limits),
        network=network,
        needs=config.policy.needs,
        requested=_requested(wish),
        granted={**_granted(volumes, workspace, limits, network, config), "image": image},
        image=image,
        volume_wait_s=wish.volume_wait_s,
    )


def _refuse_overlap(targets: Sequence[PurePosixPath], folders: Sequence[PurePosixPath]) -> None:
    for n, one in enumerate(targets):
        for other in (*targets[:n], *folders):
            if one.is_relative_to(other) or other.is_relative_to(one):
                raise HutchError(
                    "volume_invalid", f"two mounts overlap: {other} and {one}", "use separate paths"
                )


def _requested(wish: Wish) -> dict[str, object]:
    return {
        "method": wish.method,
        "image": wish.image,
        "tier": wish.tier,
        "volumes": list(wish.volumes),
        "workspace": wish.workspace,
        "network": wish.network or "none",
    }


def _granted(
    volumes: Sequence[VolumeMount],
    workspace: GrantedWorkspace | None,
    limits: Limits,
    network: Network,
    config: Config,
) -> dict[str, object]:
    folders = [f"{workspace} at {WORKSPACE}"] if workspace else []
    is_written = workspace is not None and workspace.mode is not Mode.RO
    return {
        "writes": [f"{v.name}{_origin(v)} at {v.target}" for v in volumes if v.writable]
        + [str(folder) for folder in config.policy.writable]
        + (folders if is_written else []),
        "reads": [f"{v.name}{_origin(v)} at {v.target}" for v in volumes if not v.writable]
        + [str(folder) for folder in config.policy.readable]
        + ([] if is_written else folders),
        "network": [_LEARNING] * network.is_learning
        + [*map(str, network.allow), *(f"not {rule}" for rule in network.deny)]
        + [f"{host}: {rule}" for host, rules in network.http.items() for rule in rules],
        "limits": asdict(limits),
        "needs": sorted(config.policy.needs),
    }


def _origin(mount: VolumeMount) -> str:
    at = f"@{mount.at}" if mount.at else ""
    return f", a fork of {mount.source}{at}," if mount.source else at
