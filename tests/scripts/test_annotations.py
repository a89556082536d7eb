"""The head of a script: what counts as an annotation, and what is refused with its line."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.errors import HutchError
from hutch.scripts import Annotation, read_head

KNOWN = ("sandbox", "volume", "network", "secret", "timeout", "memory", "budget-usd")


def read(text: str, comment: str = "#") -> list[tuple[int, str, str]]:
    return [(each.line, each.word, each.text) for each in read_head(text, "x.py", comment, KNOWN)]


def refused(text: str, comment: str = "#") -> HutchError:
    with pytest.raises(HutchError) as error:
        read(text, comment)
    assert error.value.code == "script_invalid"
    return error.value


@pytest.mark.parametrize("comment", ["#", "//", "--"])
def test_annotations_stand_in_the_leading_comments_and_code_ends_them(comment: str) -> None:
    text = "c sandbox\n\n  c volume:  notes   data ro \nc Prose, with: colons.\ncode\nc volume: other x\n"
    assert read(text.replace("c ", f"{comment} "), comment) == [
        (1, "sandbox", ""),
        (3, "volume", "notes   data ro"),
    ]


def test_a_shebang_an_encoding_and_a_mark_of_byte_order_are_passed_over() -> None:
    text = (
        "\ufeff#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\n# coding: utf-8\r\n# sandbox\r\nimport os\r\n"
    )
    assert read(text) == [(4, "sandbox", "")]


def test_an_image_and_a_method_are_told_apart() -> None:
    assert read("# sandbox python:3.13\n") == [(1, "sandbox", "image python:3.13")]
    assert read("# sandbox: docker\n") == [(1, "sandbox", "docker")]


@pytest.mark.parametrize(
    "prose",
    [
        "Sandboxes are a fine thing.",
        "Usage: script.py",
        "note: see https://example.org/a:b",
        "type: ignore",
        "https://example.org/volume:",
        "/// script",
        'requires-python = ">=3.11"',
        "the volume of sales by month",
        "",
    ],
)
def test_prose_stays_prose(prose: str) -> None:
    assert read(f"# {prose}\n# sandbox\n") == [(2, "sandbox", "")]


@pytest.mark.parametrize(
    ("line", "said", "hint"),
    [
        ("volumee: a b", "'volumee' is no annotation", "did you mean 'volume'?"),
        ("netwrok: none", "'netwrok' is no annotation", "did you mean 'network'?"),
        ("mount: a b", "'mount' is no annotation", "known: budget-usd, memory"),
        ("Volume: a b", "'Volume' is no annotation", "volume"),
        ("volume a b", "'volume' without its colon", "volume: NAME PATH"),
        ("sandobx", "'sandobx' is no annotation", "did you mean 'sandbox'?"),
        ("sandbox a b", "takes one image", "sandbox IMAGE"),
    ],
)
def test_what_may_be_meant_as_one_and_is_none_is_refused_with_its_line(
    line: str, said: str, hint: str
) -> None:
    error = refused(f"#!/bin/sh\n\n# {line}\n")
    assert error.message.startswith("x.py:3: ")
    assert said in error.message
    assert hint in error.hint


@given(st.text(max_size=300), st.sampled_from(["#", "//", "--"]))
def test_any_text_is_read_or_refused(text: str, comment: str) -> None:
    with suppress(HutchError):
        assert all(isinstance(each, Annotation) for each in read_head(text, "x", comment, KNOWN))
