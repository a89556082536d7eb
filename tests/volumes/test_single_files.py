"""Files read from a snapshot and written into a volume without a folder of this host."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import (
    FileRead,
    FolderList,
    LinkTarget,
    ObjectStore,
    Volumes,
)
from support.volume_engine import WEB, commit_files, run_on, tree_of, tree_on_disk


@pytest.fixture
def volumes(store: ObjectStore, tmp_path: Path) -> Volumes:
    return Volumes(store, tmp_path / "cache")


async def code_of(call: Callable[[], Awaitable[object]]) -> str:
    with pytest.raises(HutchError) as caught:
        await call()
    assert caught.value.message
    return caught.value.code


async def test_files_are_read_in_parts_and_folders_listed_in_pages(volumes: Volumes) -> None:
    big = os.urandom(1_300_000)
    await commit_files(volumes, {"big": big, "d/a": b"hello", "d/b": b"", "d/c": b"3"})
    part = await volumes.read(WEB, "/big", offset=262_000, limit=300_000)
    assert isinstance(part, FileRead)
    assert (part.data, part.next, part.entry.size) == (big[262_000:562_000], 562_000, len(big))
    last = await volumes.read(WEB, "big", offset=1_299_990)
    assert isinstance(last, FileRead)
    assert (last.data, last.next) == (big[-10:], None)
    page = await volumes.read(WEB, "d/", limit=2)
    assert isinstance(page, FolderList)
    assert ([entry.name for entry in page.entries], page.total, page.next) == (["a", "b"], 3, 2)
    rest = await volumes.read(WEB, "/d", offset=2)
    assert isinstance(rest, FolderList)
    assert ([entry.path for entry in rest.entries], rest.next) == (["/d/c"], None)


async def test_a_link_is_told_and_never_followed(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        (folder / "out").symlink_to("/etc")
        (folder / "passwd").symlink_to("/etc/passwd")
        await volumes.commit(lease, "run 1")
    told = await volumes.read(WEB, "/passwd")
    assert isinstance(told, LinkTarget)
    assert told.target == "/etc/passwd"
    assert await code_of(lambda: volumes.read(WEB, "/out/passwd")) == "not_a_folder"
    assert await code_of(lambda: volumes.write(WEB, "/out/x", b"x")) == "not_a_folder"
    assert await code_of(lambda: volumes.write(WEB, "/passwd", b"x", mode="overwrite")) == "not_a_file"


@pytest.mark.parametrize(
    "path", ["/../a", "a/../b", "/a//b", "//", "./a", "a/.", "a\0b", "x" * 256, "\ud800"]
)
async def test_a_path_that_is_none_has_one_error(volumes: Volumes, path: str) -> None:
    await commit_files(volumes, {"a": b"1"})
    assert await code_of(lambda: volumes.read(WEB, path)) == "path_invalid"
    assert await code_of(lambda: volumes.write(WEB, path, b"x")) == "path_invalid"


async def test_a_name_that_is_not_utf8_can_be_asked_for_as_it_was_shown(volumes: Volumes) -> None:
    await commit_files(volumes, {os.fsdecode(b"caf\xe9"): b"1", "100%25": b"2"})
    listed = await volumes.read(WEB, "/")
    assert isinstance(listed, FolderList)
    assert [entry.path for entry in listed.entries] == ["/100%25", "/caf%E9"]
    for entry in listed.entries:
        read = await volumes.read(WEB, entry.path)
        assert isinstance(read, FileRead)
        assert read.entry == entry


async def test_what_is_not_there_is_told_apart(volumes: Volumes) -> None:
    assert await code_of(lambda: volumes.info(WEB)) == "volume_unknown"
    assert await code_of(lambda: volumes.read(WEB, "/")) == "volume_unknown"
    assert await code_of(lambda: volumes.log(WEB)) == "volume_unknown"
    assert await code_of(lambda: volumes.lease(WEB, "run 1").__aenter__()) == "volume_unknown"
    await commit_files(volumes, {"a": b"1"})
    assert await code_of(lambda: volumes.read(WEB, "/b")) == "path_unknown"
    assert await code_of(lambda: volumes.read(WEB, "/", at=2)) == "snapshot_unknown"
    assert await code_of(lambda: volumes.read(WEB, "/", at=-1)) == "snapshot_unknown"
    assert await code_of(lambda: volumes.read(WEB, "/a/b")) == "not_a_folder"


async def test_a_file_is_written_without_a_folder(volumes: Volumes) -> None:
    snapshot = await volumes.write(WEB, "/a/b/c.txt", b"one")
    assert [str(change) for change in snapshot.changes] == ["A a", "A a/b", "A a/b/c.txt"]
    assert await code_of(lambda: volumes.write(WEB, "/a/b/c.txt", b"two")) == "path_exists"
    await volumes.write(WEB, "/a/b/c.txt", b" two", mode="append")
    await volumes.write(WEB, "/run.sh", b"#!/bin/sh", mode="overwrite", executable=True)
    assert await tree_of(volumes) == {
        "/a": None,
        "/a/b": None,
        "/a/b/c.txt": b"one two",
        "/run.sh": b"#!/bin/sh",
    }
    assert await code_of(lambda: volumes.write(WEB, "/a", b"x", mode="overwrite")) == "not_a_file"
    assert await code_of(lambda: volumes.write(WEB, "/", b"x", mode="overwrite")) == "not_a_file"
    assert await code_of(lambda: volumes.write(WEB, "/a/b/c.txt/d", b"x")) == "not_a_folder"
    async with run_on(volumes) as (_, folder):
        assert (folder / "run.sh").stat().st_mode & 0o777 == 0o755
        assert tree_on_disk(folder) == await tree_of(volumes)


async def test_appends_grow_a_file_through_every_size(volumes: Volumes) -> None:
    expected = b""
    for size in (0, 10, 250_000, 20_000, 300_000, 1, 5_000_000, 262_144):
        data = os.urandom(size)
        expected += data
        await volumes.write(WEB, "/log", data, mode="append")
        assert (await tree_of(volumes))["/log"] == expected
    async with run_on(volumes) as (lease, folder):
        assert (folder / "log").read_bytes() == expected
        with (folder / "log").open("ab") as log:
            log.write(b"more")
        await volumes.commit(lease, "run 1")
    await volumes.write(WEB, "/log", b"end", mode="append")
    assert (await tree_of(volumes))["/log"] == expected + b"moreend"
    assert (await volumes.check(WEB)).is_whole


async def test_a_write_to_a_hard_link_shows_under_all_its_names(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        (folder / "a").write_bytes(b"1")
        os.link(folder / "a", folder / "b")
        await volumes.commit(lease, "run 1")
    await volumes.write(WEB, "/a", b"2", mode="append")
    assert await tree_of(volumes) == {"/a": b"12", "/b": b"12"}
    async with run_on(volumes) as (_, folder):
        assert (folder / "b").read_bytes() == b"12"
        assert (folder / "a").samefile(folder / "b")
