"""Budgets: how much may be spent, of which accounts, and whether a model may be asked once more.

    async with open_purse(state, prices, run, limits, told) as purse:    # HutchError `budget_spent`
        steps = [Meter(purse, hosts)]                        # a step of the run's exchanges

A *limit* bounds what is spent per run, session, day or principal. An *account* is what was spent of one of
these, by every run that shares it: it is read from the ledger when a run first needs it. A *purse* is one
run's: it judges each request to a model against every limit, and puts what the answer used into the ledger.

Judging and reserving are one step without a wait, so that requests in parallel cannot all pass by the same
balance. Each holds back what it can come to at most, by what it asks for itself. One more is let through
while what is spent and what is held back are below the limit, whatever it asks for: so a limit is overrun by
less than one answer, and can be spent to its end by who asks for more. Else it waits for those in flight.
"""

from hutch.budgets.accounts import Accounts
from hutch.budgets.lent import Lent, bytes_left, share_of
from hutch.budgets.limits import ASKED, GROUP, Limit, Most, Spent, limits_of, of_group
from hutch.budgets.metering import Meter
from hutch.budgets.prices import prices_of
from hutch.budgets.purse import Purse, open_purse
from hutch.budgets.records import Others, Refused, Told, Whose

__all__ = [
    "ASKED",
    "GROUP",
    "Accounts",
    "Lent",
    "Limit",
    "Meter",
    "Most",
    "Others",
    "Purse",
    "Refused",
    "Spent",
    "Told",
    "Whose",
    "bytes_left",
    "limits_of",
    "of_group",
    "open_purse",
    "prices_of",
    "share_of",
]
