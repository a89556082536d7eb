"""Secrets: values that a sandbox uses and never has.

    value = await read_value(name, secret)                       # HutchError secret_missing, _unreadable
    held = hold(name, secret, value)                             # HutchError secret_invalid
    step = Secrets(run_id, [held])                               # a step of the run's exchanges
    held.phantom                                                 # what the sandbox gets in the value's place

A placeholder is of one run, and known by its mark: one of a run that has ended is refused. It becomes the
value in the secret's places only, toward its hosts only; what answers say of the value is overwritten.
"""

from hutch.secrets.check import Checked, check
from hutch.secrets.held import Held, hold
from hutch.secrets.places import read_place
from hutch.secrets.sources import read_value
from hutch.secrets.step import Secrets

__all__ = ["Checked", "Held", "Secrets", "check", "hold", "read_place", "read_value"]
