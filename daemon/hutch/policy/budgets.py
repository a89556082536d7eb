"""What a run may spend on models: the owner's budgets, and what the caller gives itself. Pure."""

from dataclasses import replace
from decimal import Decimal

from hutch.budgets import ASKED, Limit, limits_of
from hutch.config import Config
from hutch.egress import Network
from hutch.errors import HutchError
from hutch.policy.plan import Plan
from hutch.policy.wish import Wish


def grant_budgets(
    wish: Wish, config: Config, principal: str, network: Network, *, is_agent: bool
) -> tuple[Limit, ...]:
    """Return what bounds a run of `principal`'s; of each what can be spent in this network.

    An agent watches a budget in dollars itself where we cannot. Raises HutchError `budget_unmetered`.
    """
    usd = Decimal(str(wish.budget_usd)) if wish.budget_usd else None
    asked = Limit(ASKED, "run", usd, wish.budget_tokens, wish.budget_requests, pauses=wish.pause_at_budget)
    if not network.metered:
        if asked.tokens or asked.requests or (usd and not is_agent):
            raise HutchError(
                "budget_unmetered",
                "a budget was asked for, and no host of this run's network is metered",
                "ask for a network that is, as --net anthropic; or let the daemon's owner name hosts under "
                "network.NAME.metered",
            )
        limits = (limit.left(bytes_pass=bool(network)) for limit in limits_of(config.budgets, principal))
        return tuple(limit for limit in limits if not limit.is_empty)
    return limits_of(config.budgets, principal, None if asked.is_empty else asked)


def within(plan: Plan, shared: Limit) -> Plan:
    """Return the plan with a budget that others share too. Raises HutchError `budget_unmetered`."""
    if shared.is_empty:
        return plan
    if not plan.network.metered:
        raise HutchError(
            "budget_unmetered",
            f"{shared.whose} cannot be held: no host of its network is metered",
            "ask for a network that is, as --net anthropic",
        )
    return replace(plan, budgets=(*plan.budgets, shared))
