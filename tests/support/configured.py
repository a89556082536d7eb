"""What tests of the configuration share."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from hutch.config import parse
from hutch.errors import HutchError

ENV = {"HOME": "/home/ada"}


def refusal(text: str, env: Mapping[str, str] = ENV) -> tuple[str, str]:
    with pytest.raises(HutchError) as caught:
        parse(text, env, Path("/etc/h.toml"))
    assert caught.value.code == "config_invalid"
    return caught.value.message, caught.value.hint
