"""What comes back of a script: JSON within bounds, or a refusal; never more."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.errors import HutchError
from hutch.scripts import MAX_RESULT, language_of, read_result

PYTHON, BASH = language_of("x.py"), language_of("x.sh")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_every_value_comes_back_as_it_was(value: object) -> None:
    assert read_result(json.dumps(value).encode() + b"\n", PYTHON) == value


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 65 + b"]" * 65,
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b"1 2",
        b"{}{}",
        b"NaN",
        b"1e999",
        b"-Infinity",
        b'"\\ud800"',
        b'"\xff"',
        b"9" * 5000,
        b'"x" trailing',
        b" " * (MAX_RESULT + 1),
    ],
)
def test_what_is_forged_large_or_deep_is_refused(data: bytes) -> None:
    with pytest.raises(HutchError) as error:
        read_result(data, PYTHON)
    assert error.value.code == "result_invalid"


def test_brackets_in_text_are_not_depth() -> None:
    assert read_result(json.dumps('[\\"' * 100).encode(), PYTHON) is not None
    assert read_result(b"[" * 64 + b"]" * 64, PYTHON) is not None


def test_no_output_is_no_result() -> None:
    assert read_result(b" \n", PYTHON) is None


def test_a_line_of_bash_that_is_no_json_is_a_text() -> None:
    assert read_result(b'{"a": 1}\n', BASH) == {"a": 1}
    assert read_result(b"done \xff\n", BASH) == "done \ufffd"
    assert read_result(b"[" * 100, BASH) == "[" * 100


@given(st.binary(max_size=200))
def test_any_bytes_are_a_result_or_refused(data: bytes) -> None:
    for language in (PYTHON, BASH):
        try:
            assert json.dumps(read_result(data, language)).encode()
        except HutchError:
            assert language is PYTHON
