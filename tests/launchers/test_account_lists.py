"""Access lists: an entry put in and taken out again leaves no trace, and others' lists are not touched."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch_launchers.methods.account import acl

RIGHTS = st.integers(0, 7)


@given(
    RIGHTS, RIGHTS, RIGHTS, st.dictionaries(st.integers(1, 1 << 31), RIGHTS), st.integers(1, 1 << 31), RIGHTS
)
def test_what_was_put_in_is_taken_out_again(
    owner: int, group: int, others: int, users: dict[int, int], uid: int, rights: int
) -> None:
    users.pop(uid, None)
    before = acl.AccessList(owner, group, others, tuple(sorted(users.items())))
    with_it = before.granting(uid, rights)
    assert acl.decode(with_it.encode(), {uid, *users}) == with_it
    assert with_it.without(uid) == before


def test_a_list_is_what_the_kernel_takes_it_to_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    file.chmod(0o640)
    try:
        os.setxattr(file, acl.NAME, acl.of_mode(0o640).granting(4321, 7).encode())
    except OSError as error:
        pytest.skip(f"no access lists here: {error}")
    assert file.stat().st_mode & 0o777 == 0o670  # the mask stands where the group's rights stood
    known = acl.decode(os.getxattr(file, acl.NAME), {4321})
    os.setxattr(file, acl.NAME, known.without(4321).encode())
    assert file.stat().st_mode & 0o777 == 0o640
    assert acl.NAME not in os.listxattr(file)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\2\0\0\0123",
        struct.pack("<I", 1),
        acl.of_mode(0o640).granting(99, 7).encode(),  # of somebody else's
        struct.pack("<IHHI", 2, 0x08, 7, 99),  # of a group
    ],
)
def test_a_list_of_others_is_refused(data: bytes) -> None:
    with pytest.raises(acl.ForeignListError):
        acl.decode(data, {4321})
