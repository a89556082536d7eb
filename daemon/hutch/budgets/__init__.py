"""Budgets: how much may be spent, of which accounts, and whether a model may be asked once more.

    async with open_purse(state, prices, run, limits, told) as purse:    # HutchError `budget_spent`
        steps = [Meter(purse, hosts)]                        # a step of the run's exchanges

A *limit* bounds what is spent per run, session, day or principal. An *account* is what was spent of one of
these, by every run that shares it: it is read from the ledger when a run first needs it. A *purse* is one
run's: it judges each request to a model against every limit, and puts what the answer used into the ledger.

Judging and reserving are one step without a wait, so that requests in parallel cannot all pass by the same
balance. Each request holds back as much as the dearest one of its account so far; where that would not fit
any more, it waits for those before it. So a limit is overrun by at most what the requests in flight cost
beyond that: by one request, where they come one at a time.
"""

from hutch.budgets.accounts import Accounts
from hutch.budgets.limits import ASKED, Limit, Spent, limits_of
from hutch.budgets.metering import Meter
from hutch.budgets.prices import prices_of
from hutch.budgets.purse import Others, Purse, Refused, Told, Whose, open_purse

__all__ = [
    "ASKED",
    "Accounts",
    "Limit",
    "Meter",
    "Others",
    "Purse",
    "Refused",
    "Spent",
    "Told",
    "Whose",
    "limits_of",
    "open_purse",
    "prices_of",
]
