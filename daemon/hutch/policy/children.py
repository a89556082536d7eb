"""What a run may have that another run's agent has us begin: at most what that one has. Pure.

The owner's configuration is narrowed to what the parent's plan granted; whatever is asked for is then
decided by it like any other request, and refused by the same codes.
"""

from dataclasses import asdict, replace

from hutch.config import Config
from hutch.config import Limits as Bounds
from hutch.egress import Network, Rule
from hutch.errors import HutchError
from hutch.mounts import WORKSPACE
from hutch.policy.plan import Plan
from hutch.policy.wish import Wish
from hutch_launchers.spec import Limits, Mount


def childs_wish(wish: Wish, parent: Plan) -> Wish:
    """Return what a child asks for: where it leaves something out, its parent's. Raises `limit_exceeded`."""
    if wish.budget_usd or wish.budget_tokens or wish.budget_requests or wish.pause_at_budget:
        raise HutchError(
            "limit_exceeded", "a run has no budget of its own beside its agent's", "leave it out"
        )
    asked = parent.requested
    return replace(
        wish,
        method=wish.method or parent.method,
        image=wish.image or _text(asked.get("image")),
        tier=wish.tier or _text(asked.get("tier")),
    )


def narrowed_to(config: Config, parent: Plan, network: Network, principal: str, left_s: float) -> Config:
    """Return the configuration that a child is decided by.

    `network` is what the parent may reach now, `left_s` the time that it has left.
    """
    names = tuple(dict.fromkeys(rule.network for rule in network.allow if rule.network))
    secrets = {each.name: each.secret for each in parent.secrets if not each.is_value_inside}
    most = _least(config.policy.max_limits, replace(parent.limits, wall_s=left_s))
    image = _text(parent.requested.get("image"))
    policy = replace(
        config.policy,
        method=parent.method,
        needs=parent.needs,
        readable=tuple(mount.source for mount in parent.mounts),
        writable=(),
        workspaces=(),
        networks=tuple(name for name in names if name in config.networks),
        network_hosts=tuple(rule.pattern for rule in network.allow if not rule.is_host_service),
        images=(image,) if image else (),
        secrets=tuple(secrets),
        limits=_least(config.policy.limits, most),
        max_limits=most,
    )
    known = config.principals.get(principal)
    own = {principal: replace(known, secrets=tuple(secrets))} if known else {}
    methods = {parent.method: config.methods[parent.method]}
    return replace(config, policy=policy, methods=methods, secrets=secrets, principals=own)


def as_child(plan: Plan, parent: Plan, network: Network, begun_by: str) -> Plan:
    """Return a child's plan with the bounds that are not asked for: its parent's budgets and ways out.

    What is denied, read, counted or judged on the parent's ways is so on the child's.
    """
    allow = tuple(rule for rule in plan.network.allow if _is_within(rule, network))
    reached = replace(network, allow=allow, is_learning=False) if allow else Network()
    return replace(
        plan,
        network=reached,
        budgets=parent.budgets,
        masks=(*plan.masks, *_hidden_too(plan, parent)),
        requested={**plan.requested, "begun_by": begun_by},
        granted={**plan.granted, "network": [*map(str, allow), *(f"not {rule}" for rule in reached.deny)]},
    )


def _hidden_too(plan: Plan, parent: Plan) -> tuple[Mount, ...]:
    """What the parent is not shown of the host's folders that its child has too."""
    hidden = {mask.target for mask in plan.masks}
    missing = (mask for mask in parent.masks if mask.target not in hidden)
    return tuple(mask for mask in missing if not mask.target.is_relative_to(WORKSPACE))


def _is_within(rule: Rule, network: Network) -> bool:
    return any(
        own.pattern.includes(rule.pattern) and own.is_host_service == rule.is_host_service
        for own in network.allow
        if own.socket is None  # the parent's door to us is its own
    )


def _least(limits: Bounds, most: Bounds | Limits) -> Bounds:
    bounds = asdict(most)
    return Bounds(
        **{
            name: value if bounds[name] is None else min(value, bounds[name])
            for name, value in asdict(limits).items()
        }
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
