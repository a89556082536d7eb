"""What one run gets, decided; and the sandbox's spec made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hutch.budgets import Limit
from hutch.config import Limits as Bounds
from hutch.egress import Network
from hutch.mounts import VolumeMount
from hutch.policy.secrets import GrantedSecret
from hutch.workspaces import GrantedWorkspace
from hutch_launchers.spec import Command, EgressEndpoint, Guarantee, Limits, Mount, SandboxSpec


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run gets: everything decided, nothing started."""

    method: str
    command: Command
    is_kept: bool  # the sandbox stays; `command` gives the defaults of those that come
    volumes: tuple[VolumeMount, ...]
    mounts: tuple[Mount, ...]
    workspace: GrantedWorkspace | None
    limits: Limits
    bounds: tuple[Bounds, Bounds]  # of a further command in it: where it asks for nothing else, and at most
    network: Network
    needs: frozenset[Guarantee]
    requested: Mapping[str, object]
    granted: Mapping[str, object]
    budgets: tuple[Limit, ...] = ()  # what it may spend
    time_budget: str = ""  # which of them leaves it no more time than `limits` has
    volume_wait_s: float = 0
    narrowed: tuple[str, ...] = ()  # what of the owner's policy was not granted, and by whom
    image: str | None = None
    secrets: tuple[GrantedSecret, ...] = ()
    children: int = 0  # runs that what is in its sandbox may have us begin, at once; 0: it has no door to us
    masks: tuple[Mount, ...] = ()  # over what is denied below the granted folders

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
        mounts = self.mounts + more + volumes + self.masks
        return SandboxSpec(run_id, command, mounts, self.limits, endpoint, self.needs, self.image)

    def with_command(self, command: Command) -> "Plan":
        return replace(self, command=command)
