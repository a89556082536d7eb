"""Folders as tar archives: what is odd in one goes there and back, and what is wrong is told."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes.transfer.archive_reader import read_archive
from hutch.volumes.transfer.archive_writer import write_folder

ODD_NAMES = (b"user.plain", b"user.\xff", b"user.a=b", b"user.%41", b"user.\xc3\xa9", b"user.new\nline")


def test_attributes_of_any_name_go_there_and_back(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "folder").mkdir(parents=True)
    there.mkdir()
    for name in ODD_NAMES:
        try:
            os.setxattr(here / "folder", name, b"\x00\xff=\n" + name)
        except OSError:
            pytest.skip("the file system keeps no extended attributes")
    data = io.BytesIO()
    write_folder(here, data.write)
    data.seek(0)
    read_archive(data, there)
    found = os.listxattr(there / "folder")
    assert {name: os.getxattr(there / "folder", name) for name in map(os.fsencode, found)} == {
        name: b"\x00\xff=\n" + name for name in ODD_NAMES
    }


@pytest.mark.parametrize(
    "headers",
    [
        {"mtime": "9" * 30},
        {"mtime": "9" * 5000},
        {"mtime": "inf"},
        {"mtime": "1.x"},
        {"LIBARCHIVE.xattr.user.x": "*"},
        {"GNU.sparse.map": "0,99,x"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
    ],
)
def test_what_cannot_be_read_is_told_as_the_archives_fault(tmp_path: Path, headers: dict[str, str]) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("file")
        member.size, member.pax_headers = 2, headers
        archive.addfile(member, io.BytesIO(b"x\n"))
    made.seek(0)
    with pytest.raises(HutchError) as refused:
        read_archive(made, tmp_path)
    assert refused.value.code == "archive_invalid"
