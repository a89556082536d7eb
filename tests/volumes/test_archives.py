"""Folders as tar archives: what is odd in one goes there and back, and what is wrong is told."""

import io
import os
import subprocess
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


@pytest.mark.parametrize("reader", ["ours", "tar"])
def test_holes_of_any_size_go_there_and_back(tmp_path: Path, reader: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    for name, parts, size in (
        ("ends with a hole", [(0, b"a"), (1 << 40, b"far")], 1 << 41),
        ("begins with one", [(1 << 30, b"x" * 5000)], (1 << 30) + 5000),
        ("is one", [], 1 << 40),
        ("\udcff" + "n" * 200, [(4096 * n * 3, b"part %d" % n) for n in range(300)], 10 << 20),
    ):
        with (here / name).open("wb") as file:
            for offset, content in parts:
                file.seek(offset)
                file.write(content)
            file.truncate(size)
    data = tmp_path / "archive"
    with data.open("wb") as archive:
        write_folder(here, archive.write)
    assert data.stat().st_size < 4 << 20
    if reader == "ours":
        with data.open("rb") as source:
            read_archive(source, there)
    else:
        subprocess.run(["tar", "-C", there, "-xf", data], check=True)
    assert sorted(path.name for path in there.iterdir()) == sorted(path.name for path in here.iterdir())
    for old in here.iterdir():
        new = there / old.name
        assert new.stat().st_size == old.stat().st_size
        assert new.stat().st_blocks <= old.stat().st_blocks + 16
        for offset in (0, 4096 * 3 * 7, 1 << 30, 1 << 40):
            with old.open("rb") as one, new.open("rb") as two:
                one.seek(offset)
                two.seek(offset)
                assert one.read(6000) == two.read(6000)


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
