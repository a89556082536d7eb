"""Content that sandboxes share: each reads it from its start, none can change it, and it does not pile up."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from hutch_launchers.constants import open_constant


def test_two_that_read_the_same_have_a_position_each() -> None:
    with ExitStack() as stack:
        one, other = open_constant(b"content", stack), open_constant(b"content", stack)
        assert os.read(one, 3) == b"con"
        assert os.read(other, 100) == b"content"
        assert os.read(one, 100) == b"tent"


def test_it_cannot_be_changed_through_the_descriptor() -> None:
    with ExitStack() as stack:
        writable = os.open(f"/proc/self/fd/{open_constant(b'sealed', stack)}", os.O_RDWR)
        stack.callback(os.close, writable)
        with pytest.raises(PermissionError):
            os.pwrite(writable, b"!", 0)


def test_what_differs_each_time_does_not_pile_up() -> None:
    before = _descriptors()
    for number in range(200):
        with ExitStack() as stack:
            assert os.read(open_constant(b"content %d" % number, stack), 100) == b"content %d" % number
    assert _descriptors() <= before + 64


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
