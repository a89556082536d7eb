"""Plans as the owner's wishes get them, of a configuration with one network."""

from dataclasses import replace

import pytest

from hutch.access.rights import OWNERS_RIGHTS
from hutch.config import Config, parse
from hutch.errors import HutchError
from hutch.policy import Plan, Wish, decide
from support.networks import configured

CONFIG = replace(
    parse("", {"HOME": "/home/someone"}),
    networks={"model": configured("api.example.org", services=["127.0.0.1:8787"])},
)


def plan_for(wish: Wish, config: Config = CONFIG, networks: tuple[str, ...] = ()) -> Plan:
    return decide(wish, config, OWNERS_RIGHTS, shell="/bin/sh", networks=networks)


def code_of(wish: Wish, config: Config = CONFIG, networks: tuple[str, ...] = ()) -> str:
    """The code of its refusal, which tells what to do too."""
    with pytest.raises(HutchError) as refused:
        plan_for(wish, config, networks)
    assert refused.value.hint or refused.value.message
    return refused.value.code
