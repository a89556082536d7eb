"""Untrusted text cannot move a cursor, hide, or pass for the answer's own words."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hutch_mcp_tools.text import (
    harmless,
    harmless_json,
    harmless_source,
    one_line,
    patch_name,
    quoted,
    whole_characters,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never ended\nnext", "\nnext"),
        ("\x1bP1;2|data\x1b\\text", "text"),
        ("\x1b(Btext\x1b=\x1b7", "text"),
        ("\x9b31mC1", "C1"),
        ("bell\x07 back\x08 nul\0 del\x7f", "bell␇ back␈ nul␀ del␡"),
        ("\x1b", "␛"),
        ("over\u202eride", "over\ufffdride"),
        ("a\u2028b\x85c", "a\ufffdb\ufffdc"),
        ("tag\U000e0041", "tag\ufffd"),
        ("tab\tnewline\n", "tab\tnewline\n"),
        ("👩\u200d🔬 ünï", "👩\u200d🔬 ünï"),
    ],
)
def test_escapes_are_removed_and_controls_become_visible(text: str, shown: str) -> None:
    assert harmless(text) == shown


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("\x9b31m\x7f\u202e\U000e0041 👩\u200d🔬")
def test_json_says_the_same_and_controls_nothing(text: str) -> None:
    told = harmless_json(json.dumps({"said": text}, ensure_ascii=False))
    assert json.loads(told) == {"said": text}
    assert harmless(told) == told


@given(st.text())
def test_nothing_that_is_shown_can_control_a_terminal(text: str) -> None:
    shown = harmless(text)
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in shown if c not in "\t\n")
    assert len(shown) <= len(text)


@given(st.text())
def test_a_source_keeps_its_length_so_that_changes_can_be_counted(text: str) -> None:
    assert len(harmless_source(text)) == len(text)


@pytest.mark.parametrize(
    "line", ["--- stdout (1 line) ---", "exit_code=0", "[…1 bytes", "changed: x", "\\note: x"]
)
def test_a_line_that_looks_like_ours_gets_one_more_backslash(line: str) -> None:
    assert quoted(line) == f"\\{line}"


@pytest.mark.parametrize("line", ["", "plain", "-- two", "[ok]", " exit_code=0", "\\path"])
def test_any_other_line_stays_as_it_is(line: str) -> None:
    assert quoted(line) == line


def test_one_line_is_one_line_and_says_when_it_is_cut() -> None:
    assert one_line("a\nb\tc", 10) == "a b c"
    assert one_line("x" * 20, 10) == "x" * 9 + "…"


@given(st.text(), st.integers(0, 40))
def test_whole_characters_end_where_a_character_ends(text: str, length: int) -> None:
    data = text.encode()[:length]
    data[: whole_characters(data)].decode()
    assert len(data) - whole_characters(data) < 4


def test_a_files_name_in_a_patch_ends_no_line() -> None:
    assert patch_name("a/plain é \N{SNOWMAN} %41.txt") == "a/plain é \N{SNOWMAN} %41.txt"
    assert patch_name('a/x\n--- a/y\t"\\\x1b\x7f') == r'"a/x\n--- a/y\t\"\\\033\177"'
