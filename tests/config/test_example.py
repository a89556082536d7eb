"""The example configuration is the defaults, every one of them."""

import tomllib
from pathlib import Path

from hutch.config import (
    Agent,
    Network,
    parse,
)
from hutch.config.reader import keys_of
from support.configured import ENV

ROOT = Path(__file__).parents[2]


EXAMPLE = (ROOT / "config.example.toml").read_text()


def test_the_example_is_exactly_the_defaults() -> None:
    assert parse(EXAMPLE, ENV) == parse("", ENV)


def missing(record: type, table: object, where: str) -> list[str]:
    assert isinstance(table, dict)
    found = []
    for name, key in keys_of(record).items():
        if name not in table:
            found.append(f"{where}.{name}")
        elif key.kind is None:
            found += missing(key.record, table[name], f"{where}.{name}")
    return found


def test_the_example_shows_every_key() -> None:
    shown = tomllib.loads(EXAMPLE)
    defaults = parse("", ENV)
    for section in ("daemon", "storage", "policy"):
        assert missing(type(getattr(defaults, section)), shown[section], section) == []
    assert missing(Agent, shown["agents"]["claude"], "agents.claude") == []
    assert missing(Network, shown["network"]["anthropic"], "network.anthropic") == []
