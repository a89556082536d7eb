"""From a request to its plan: who asks, under which tier, what the repository says, what is never shown."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from anyio import to_thread

from hutch.access import Rights
from hutch.config import OWNER, Agent, Config
from hutch.errors import HutchError
from hutch.mounts import WORKSPACE
from hutch.policy import (
    Allowed,
    Plan,
    Wish,
    agents_secrets,
    allowed,
    bounded_workspace,
    decide,
    folder_of,
    grant_budgets,
    grant_secrets,
    with_repository,
    with_tier,
)
from hutch.runs.planning.denied import masks
from hutch.runs.planning.patterns import may_lie_in
from hutch.runs.planning.repository import read_repositories
from hutch.runs.planning.workspace import refuse_workspace
from hutch.runs.planning.writable import refuse_unprotected
from hutch.runs.rooms import PathRooms
from hutch.workspaces import Mode
from hutch_launchers.spec import Mount


async def plan_for(
    rooms: PathRooms,
    wish: Wish,
    principal: str,
    *,
    config: Config | None = None,
    agent: Agent | None = None,
    rights: Rights | None = None,
) -> Plan:
    """Return what a principal's request gets; `agent` is the one that is to be started.

    `rights`: where they are less than the principal's.

    Raises what `decide` raises, and HutchError `tier_unknown`, `tier_denied`, `path_denied`,
    `repository_file_invalid`, `repository_widens`, `budget_unmetered`, `secret_denied`, `secret_unreachable`.
    """
    own_networks = agent.networks if agent else frozenset()
    config = config or rooms.config
    rights = rights or await rooms.access.rights(principal)
    base = allowed(config, config.policy.networks, own_networks)
    wish = replace(wish, tier=tier_of(config, wish.tier, principal))
    if wish.tier:
        base = with_tier(base, wish.tier, own_networks)
    if (folder := folder_of(wish.workspace)) is not None:
        base = await to_thread.run_sync(_with_repositories, base, folder, own_networks)
    wish = bounded_workspace(wish, base, is_owner=rights.is_owner)
    plan = decide(wish, base.config, rights, shell=rooms.shell, networks=base.networks)
    if plan.workspace is not None:
        await to_thread.run_sync(refuse_workspace, plan, base.config)
    granted = _granted(base.config, plan)
    hidden = await to_thread.run_sync(_masks, base, plan, granted) if granted else ()
    if base.config.policy.writable:
        policy = base.config.policy
        await to_thread.run_sync(refuse_unprotected, policy.writable, policy.protected_names)
    budgets = grant_budgets(wish, config, principal, plan.network, is_agent=agent is not None)
    plan = _with_secrets(plan, wish, base, principal, agent)
    return replace(plan, narrowed=base.narrowed, masks=hidden, budgets=budgets)


def tier_of(config: Config, asked: str | None, principal: str) -> str | None:
    """Return the tier of a request. Raises HutchError `tier_denied` for one that is not its principal's."""
    known = config.principals.get(principal)
    if known is None or not known.tiers:
        return asked or config.policy.tier or None
    if asked and asked not in known.tiers:
        raise HutchError(
            "tier_denied", f"tier {asked!r} is not granted to you", f"granted: {', '.join(known.tiers)}"
        )
    return asked or known.tiers[0]


def _with_secrets(plan: Plan, wish: Wish, base: Allowed, principal: str, agent: Agent | None) -> Plan:
    config = base.config
    others = config.principals.get(principal)
    granted = others.secrets if others else config.policy.secrets if principal == OWNER else ()
    secrets = grant_secrets(wish.secrets, config, base.least_secrets(granted), plan.network)
    if agent:
        asked = {secret.name for secret in secrets}
        own = agents_secrets(agent, config, plan.network)
        secrets += tuple(secret for secret in own if secret.name not in asked)
    return replace(
        plan,
        secrets=secrets,
        requested={**plan.requested, "secrets": list(wish.secrets)},
        granted={**plan.granted, "secrets": [str(secret) for secret in secrets]},
    )


def _with_repositories(base: Allowed, folder: Path, own_networks: frozenset[str]) -> Allowed:
    for file, said in read_repositories(folder, base.config):
        base = with_repository(base, said, str(file), own_networks)
    return base


def _granted(config: Config, plan: Plan) -> tuple[Mount, ...]:
    """The host's folders that a plan shows."""
    granted = (*_of_method(config, plan.method), *plan.mounts)
    if plan.workspace is None:
        return granted
    return (*granted, Mount(plan.workspace.folder, WORKSPACE, writable=plan.workspace.mode is Mode.RW))


def _masks(base: Allowed, plan: Plan, granted: Sequence[Mount]) -> tuple[Mount, ...]:
    workspace = plan.workspace
    found = masks(base.config, granted, base.denied)
    if workspace is None or workspace.mode is not Mode.WORKTREE:
        return found
    patterns = [pattern for pattern in base.config.policy.denied if may_lie_in(workspace.folder, pattern)]
    if base.denied or patterns or any(mount.target.is_relative_to(WORKSPACE) for mount in found):
        raise HutchError(
            "path_denied",
            f"what is denied in {workspace.folder} cannot be hidden in a checkout, whose commits may hold it",
            f"have it as {workspace.folder}:review instead",
        )
    return found


def _of_method(config: Config, method: str) -> list[Mount]:
    """What a method's own options show of the host."""
    readable = config.methods[method].options.get("readable", ())
    paths = readable if isinstance(readable, list | tuple) else ()
    return [Mount(Path(path), PurePosixPath(path)) for path in paths]
