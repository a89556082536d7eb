"""What a request may have: request + configuration -> plan -> spec. Pure, and it denies by default."""

from hutch.policy.bounds import read_limits
from hutch.policy.budgets import grant_budgets, within
from hutch.policy.children import as_child, childs_wish, narrowed_to
from hutch.policy.commands import command_for, shown
from hutch.policy.decide import decide
from hutch.policy.modes import bounded_workspace, folder_of
from hutch.policy.narrowing import Allowed, allowed, widens, with_repository, with_tier
from hutch.policy.plan import Plan
from hutch.policy.secrets import GrantedSecret, agents_secrets, grant_secrets
from hutch.policy.wish import Wish

__all__ = [
    "Allowed",
    "GrantedSecret",
    "Plan",
    "Wish",
    "agents_secrets",
    "allowed",
    "as_child",
    "bounded_workspace",
    "childs_wish",
    "command_for",
    "decide",
    "folder_of",
    "grant_budgets",
    "grant_secrets",
    "narrowed_to",
    "read_limits",
    "shown",
    "widens",
    "with_repository",
    "with_tier",
    "within",
]
