"""What a repository's own file may say, and how it is read: hostile text, refused by its place."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.config import parse
from hutch.errors import HutchError
from hutch.policy import allowed, with_repository
from hutch.runs.planning.repository import parse_repository

BASE = allowed(parse("", {"HOME": "/home/someone"}), (), frozenset())


def code_of(text: str) -> tuple[str, str]:
    with pytest.raises(HutchError) as refused:
        with_repository(BASE, parse_repository(text.encode(), "/w/.hutch.toml"), "/w/.hutch.toml")
    return refused.value.code, refused.value.message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('readable = ["/"]', "readable"),
        ('writable = ["/"]', "writable"),
        ('workspaces = ["/"]', "workspaces"),
        ("force_sandbox = false", "force_sandbox"),
        ('method = "other"', "method"),
        ('[methods.x]\nkind = "wrapper"', "methods"),
        ('[agents.claude]\ncommand = "/w/evil"', "agents"),
        ('[network.x]\nallow = ["evil.example:443"]', "network"),
        ('[tiers.review]\nnetwork = "granted"', "tiers"),
        ("[policy]\nneeds = []", "policy"),
        ('[limits]\nmemory = "1TiB"', "limits.memory"),
        ('networks = ["nowhere"]', "networks"),
    ],
)
def test_a_key_that_would_widen_is_refused_by_its_name(text: str, key: str) -> None:
    if key == "network":
        assert code_of(text)[0] == "repository_file_invalid"  # here it is one word
    else:
        code, message = code_of(text)
        assert code == "repository_widens"
        assert f"/w/.hutch.toml: {key}: " in message


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "workspce = 'ro'",
        "workspace = 'everything'",
        'denied = ["../x"]',
        'denied = ["a\\n/../x"]',
        'denied = ["/etc"]',
        "\0",
        "limits = 3",
    ],
)
def test_a_file_that_cannot_be_understood_is_refused(text: str) -> None:
    assert code_of(text)[0] == "repository_file_invalid"


@given(st.binary(max_size=200))
def test_any_text_is_read_or_refused(text: bytes) -> None:
    code = ""
    try:
        parse_repository(text, "/w/.hutch.toml")
    except HutchError as refused:
        code = refused.code
    assert code in ("", "repository_file_invalid", "repository_widens")


def test_a_wrong_key_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(HutchError) as refused:
        parse_repository(b'workspce = "ro"', "/w/.hutch.toml")
    assert refused.value.message == "/w/.hutch.toml: workspce is not a key"
    assert "'workspace'" in refused.value.hint


@pytest.mark.parametrize("text", ["a.{}b = 1", "[a.{}b]", "a = {{a.{}b = 1}}"])
def test_a_key_of_many_parts_takes_no_time(text: str) -> None:
    began = time.process_time()
    with pytest.raises(HutchError):
        parse_repository(text.format("a." * 30_000).encode(), "/w/.hutch.toml")
    assert time.process_time() - began < 1


@pytest.mark.parametrize(("text", "count"), [("1G", 1 << 30), ("512M", 512 << 20), ("64M", 64 << 20)])
def test_a_repository_writes_a_size_as_it_is_typed(text: str, count: int) -> None:
    assert parse_repository(f"[limits]\nmemory = '{text}'".encode(), "x").limits.memory_bytes == count
