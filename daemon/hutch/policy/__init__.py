"""What a request may have: request + configuration -> plan -> spec. Pure, and it denies by default."""

from hutch.policy.bounds import read_limits
from hutch.policy.commands import command_for, shown
from hutch.policy.decide import decide
from hutch.policy.plan import Plan
from hutch.policy.wish import Wish

__all__ = ["Plan", "Wish", "command_for", "decide", "read_limits", "shown"]
