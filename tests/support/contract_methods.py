"""The methods that are held against the contract here, and what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Method:
    """`toml` is its table in a configuration, without the head."""

    name: str
    toml: str
    must_run: bool = (
        True  # on a host that has all that the tests install; else it is skipped, with its reason
    )


METHODS: tuple[Method, ...] = (
    Method("bubblewrap", 'kind = "bubblewrap"'),
    Method("bare", 'kind = "wrapper"\ncommand = ["env", "{command}"]'),
)

# What does not hold yet, by case and method: the table says so, and a test fails as soon as it does hold.
OPEN: Mapping[tuple[str, str], str] = {}
