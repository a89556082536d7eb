"""The owner's configuration: TOML to frozen records, complete and checked before anything starts.

    config = load(None, os.environ)                # the file that `find` finds; no file: the defaults
    config = parse(text, os.environ)               # raises HutchError `config_invalid`

Every key stands in config.example.toml with its default.
"""

from hutch.config.alerts import Alert
from hutch.config.bundles import Bundle
from hutch.config.kinds import Address
from hutch.config.load import load, parse, read
from hutch.config.narrowing import Repository, Tier
from hutch.config.places import assert_nobody_elses, find, own_folder
from hutch.config.records import (
    OWNER,
    Agent,
    Config,
    Daemon,
    Limits,
    Method,
    Network,
    Policy,
    Principal,
    Retention,
    Storage,
    VolumeRules,
)
from hutch.config.salvage import salvage
from hutch.config.secrets import Secret
from hutch.config.spending import Budget, Per, Price

__all__ = [
    "OWNER",
    "Address",
    "Agent",
    "Alert",
    "Budget",
    "Bundle",
    "Config",
    "Daemon",
    "Limits",
    "Method",
    "Network",
    "Per",
    "Policy",
    "Price",
    "Principal",
    "Repository",
    "Retention",
    "Secret",
    "Storage",
    "Tier",
    "VolumeRules",
    "assert_nobody_elses",
    "find",
    "load",
    "own_folder",
    "parse",
    "read",
    "salvage",
]
