"""What a terminal is given of untrusted output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.cli.terminal import SafeText


def shown(*pieces: bytes) -> str:
    safe = SafeText()
    return "".join(safe.feed(piece) for piece in pieces) + safe.end()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\n\ttext\r\n", "plain\n\ttext\r\n"),
        (b"\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m\x1b[0m"),
        (b"\x1b[2Jgone\x1b[1;1H", "gone"),  # clear, move
        (b"\x1b]0;title\x07after", "after"),  # window title
        (b"\x1b]52;c;ZXZpbA==\x1b\\after", "after"),  # clipboard
        (b"\x1b[6n\x1b[c", ""),  # a terminal would answer as if its user had typed
        (b"\x1bP$q\x1b\\x", "x"),
        (b"bell\x07 back\x08", "bell␇ back␈"),
        ("\u202eright to left\u009b2J".encode(), "\ufffdright to left"),
        (b"not \xff utf-8", "not \ufffd utf-8"),
        (b"cut \xe2\x82", "cut \ufffd"),
        (b"never ends \x1b]0;abc", "never ends "),
    ],
)
def test_sequences_are_dropped_and_colours_kept(data: bytes, text: str) -> None:
    assert shown(data) == text


@given(
    st.lists(
        st.sampled_from(
            [
                b"\x1b",
                b"[",
                b"2",
                b"J",
                b"]",
                b"0;",
                b"\x07",
                b"\\",
                b"m",
                b"P",
                b"\n",
                b"a",
                b"\xe2\x82\xac",
                b"\xc2\x9b",
                b"\r",
            ]
        )
    ),
    st.data(),
)
def test_how_the_output_is_cut_changes_nothing(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert shown(*pieces) == shown(whole)


@given(st.binary(max_size=200))
def test_nothing_but_colours_begins_with_an_escape(data: bytes) -> None:
    import re

    rest = re.sub(r"\x1b\[[0-9;:]*m", "", shown(data))
    assert not set(rest) & {
        chr(code) for code in (*range(9), *range(11, 13), *range(14, 32), *range(127, 160))
    }


def test_a_sequence_that_never_ends_is_not_held_for_ever() -> None:
    safe = SafeText()
    assert safe.feed(b"\x1b]" + b"a" * 10_000) == ""
    assert safe.feed(b"b") == "b"
