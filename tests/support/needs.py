"""What a test needs of its machine: absent, the test is skipped, or fails where CI says it must be there."""

import os

import pytest


def need(name: str, is_there: bool, what: str, install: str) -> None:
    """Skip the test, or fail it where `HUTCH_REQUIRE` holds `name`, unless `is_there`. No name: skip it."""
    if is_there:
        return
    reason = f"{what} is not installed; to have it: {install}"
    if name and name in os.environ.get("HUTCH_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)
