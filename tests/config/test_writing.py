"""Changes of the configuration's text, as they are written and as they are shown."""

from pathlib import Path

import pytest

from hutch.config.writing import difference, with_network

FILE = Path("/etc/config.toml")


@pytest.mark.parametrize("old", ["", "# mine\n", "[daemon]\nx = 1", "\n[policy]\nnetworks = ['a']\n\n"])
def test_what_changes_is_shown_line_by_line(old: str) -> None:
    new = with_network(old, "learned", {"allow": ["a.example.org"]})
    shown = difference(FILE, old, new).splitlines()
    assert shown[:2] == [f"--- {FILE}", f"+++ {FILE}"]
    assert {"+[network.learned]", '+allow = ["a.example.org"]'} <= set(shown)
    assert all(line[:1] in ("", " ", "+", "-", "@") for line in shown)
    assert not [line for line in shown if line.startswith("-") and line[1:] in new.splitlines()]
