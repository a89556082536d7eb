"""`hutch volume put` and `get`: what goes in comes out, as one snapshot, and nothing is replaced unasked."""

import io
import json
import os
import tarfile
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from hutch.errors import HutchError
from hutch.runs.volume_service.transfer import put_archive
from hutch.volumes import MemoryStore, Quotas, VolumeName, VolumeQuota, Volumes
from support.mcp_service import FakeService

Hutch = Callable[..., int]
Captured = pytest.CaptureFixture[str]


def described(folder: Path) -> dict[str, tuple[object, ...]]:
    """All of a folder, by path: kind, mode, nanoseconds, content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content: object = str(path.readlink()) if path.is_symlink() else None
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
        mode = 0 if path.is_symlink() else status.st_mode
        with suppress(OSError):
            content = content or os.getxattr(path, "user.mark")
        found[os.fsdecode(path.relative_to(folder))] = (mode, status.st_mtime_ns, content)
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "deep/er").mkdir(parents=True)
    (top / "deep/er/run.sh").write_bytes(b"#!/bin/sh\n")
    (top / "deep/er/run.sh").chmod(0o755)
    (top / "big").write_bytes(os.urandom(700_000))
    (top / "empty").touch()
    (top / "link").symlink_to("/nowhere/at all")
    Path(os.fsdecode(os.fsencode(top) + b"/odd\xff")).write_text("x")
    os.link(top / "big", top / "deep/same")
    with (top / "holes").open("wb") as file:
        file.seek(3 << 20)
        file.write(b"end")
    (top / "deep").chmod(0o750)
    with suppress(OSError):  # a file system may have none
        os.setxattr(top / "deep", "user.mark", b"\x00\xff\n=")
    for path in top.rglob("*"):
        os.utime(path, ns=(1, 1_700_000_000_123_456_789), follow_symlinks=False)
    return top


def test_a_folder_comes_back_as_it_was_and_is_one_snapshot(
    hutch: Hutch, tree: Path, tmp_path: Path, capfd: Captured
) -> None:
    assert hutch("volume", "put", "-r", "web", "in/here", tree, "--json") == 0
    assert json.loads(capfd.readouterr().out)["snapshot"] == 1
    assert hutch("volume", "get", "web", "in/here", tmp_path / "back") == 0
    assert described(tmp_path / "back") == described(tree)
    back = tmp_path / "back"
    assert (back / "big").stat().st_ino == (back / "deep/same").stat().st_ino
    assert (back / "holes").stat().st_blocks * 512 < 1 << 20
    capfd.readouterr()
    assert hutch("volume", "put", "-r", "web", "in/here", back) == 0
    assert capfd.readouterr().err.endswith("volume web: nothing changed\n")
    assert list((tmp_path / "cache/.scratch").iterdir()) == []


def test_what_is_put_joins_what_is_there(hutch: Hutch, tree: Path, service: FakeService) -> None:
    anyio.run(service.put_volume, "web", {"deep/old": b"old", "empty": b"not empty"})
    assert hutch("volume", "put", "-r", "web", "/", tree) == 0
    assert anyio.run(service.file, "web", "deep/old") == b"old"
    assert anyio.run(service.file, "web", "empty") == b""
    assert anyio.run(service.file, "web", "deep/er/run.sh") == b"#!/bin/sh\n"


def test_a_folder_never_gives_way_to_a_file_and_a_file_only_if_it_may(
    hutch: Hutch, tree: Path, service: FakeService, capfd: Captured
) -> None:
    anyio.run(service.put_volume, "web", {"big/file": b"1", "other/empty": b""})
    assert hutch("volume", "put", "-r", "web", "/", tree) == 1
    assert "error: path_exists: '/big' exists, as a folder\n" in capfd.readouterr().err
    assert hutch("volume", "put", "--create", "web", "other/empty", tree / "empty") == 1
    assert "or without --create" in capfd.readouterr().err
    assert [record.snapshot for record in anyio.run(service.list_volumes)] == [1]


def test_a_large_file_is_one_snapshot_and_keeps_its_mode(
    hutch: Hutch, tmp_path: Path, capfd: Captured
) -> None:
    data = os.urandom(9 << 20)
    (tmp_path / "data").write_bytes(data)
    (tmp_path / "data").chmod(0o640)
    assert hutch("volume", "put", "web", "a/", tmp_path / "data", "-x", "--json") == 0
    record = json.loads(capfd.readouterr().out)
    assert (record["snapshot"], record["bytes"], record["changed"]) == (1, len(data), ["A a", "A a/data"])
    (tmp_path / "there").mkdir()
    assert hutch("volume", "get", "web", "a/data", tmp_path / "there") == 0
    got = tmp_path / "there/data"
    assert got.read_bytes() == data
    assert got.stat().st_mode & 0o777 == 0o751
    assert got.stat().st_mtime == pytest.approx((tmp_path / "data").stat().st_mtime, abs=1e-5)


def test_get_replaces_nothing_unasked(
    hutch: Hutch, tmp_path: Path, service: FakeService, capfd: Captured
) -> None:
    anyio.run(service.put_volume, "web", {"d/f": b"new"})
    dest = tmp_path / "f"
    dest.write_text("mine")
    assert hutch("volume", "get", "web", "d/f", dest) == 1
    assert capfd.readouterr().err == (
        f"error: file_exists: {dest} exists\nhint: name another DEST, or replace it: --force\n"
    )
    assert dest.read_text() == "mine"
    assert hutch("volume", "get", "--force", "web", "d/f", dest) == 0
    assert dest.read_text() == "new"
    assert hutch("volume", "get", "--force", "web", "d", dest) == 1
    assert dest.read_text() == "new"


def test_a_place_that_cannot_be_written_is_told_without_a_traceback(hutch: Hutch, capsys: Captured) -> None:
    assert hutch("volume", "put", "web", "/d/f", os.devnull) == 0
    assert hutch("volume", "get", "web", "/d", "/proc/nowhere") == 1
    assert "error: host_failed: /proc/nowhere: No such file or directory\n" in capsys.readouterr().err


def test_a_folder_goes_to_standard_output_as_a_tar_archive(
    hutch: Hutch, service: FakeService, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    anyio.run(service.put_volume, "web", {"d/f": b"1", "d/g/h": b"22"})
    assert hutch("volume", "get", "web", "d", "-") == 0
    with tarfile.open(fileobj=io.BytesIO(capfdbinary.readouterr().out)) as archive:
        assert [(each.name, each.size) for each in archive] == [(".", 0), ("f", 1), ("g", 0), ("g/h", 2)]


@pytest.mark.parametrize(
    ("source", "error"),
    [("tree", "path_invalid: {} is a folder\nhint: put all that is in it: -r"), ("none", "file_missing: ")],
)
def test_what_cannot_be_put_is_told(
    hutch: Hutch, tree: Path, tmp_path: Path, capfd: Captured, source: str, error: str
) -> None:
    assert hutch("volume", "put", "web", "x", tmp_path / source) == 1
    assert capfd.readouterr().err.startswith(f"error: {error.format(tree)}")


def test_a_file_of_this_host_in_the_place_of_the_path_is_told_where_it_belongs(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    assert hutch("volume", "put", "web", "./page.html") == 1
    assert capfd.readouterr().err == (
        "error: path_invalid: './page.html' is no PATH in a volume\n"
        "hint: of this host? Then it is the SOURCE: hutch volume put NAME / ./page.html\n"
    )
    assert hutch("volume", "put", "web", "") == 1
    assert capfd.readouterr().err.endswith("names nothing in a volume\nhint: its root is: /\n")
    assert anyio.run(service.list_volumes) == []


def test_a_path_that_cannot_be_makes_no_volume(hutch: Hutch, service: FakeService, tree: Path) -> None:
    assert hutch("volume", "put", "web", "/a/../b", tree / "a b") == 1
    assert anyio.run(service.list_volumes) == []


def test_missing_folders_are_made_for_what_is_got(hutch: Hutch, service: FakeService, tmp_path: Path) -> None:
    anyio.run(service.put_volume, "web", {"f": b"new"})
    assert hutch("volume", "get", "web", "f", tmp_path / "a" / "b" / "c") == 0
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"new"


@pytest.mark.parametrize("dest", ["back", "-"])
def test_an_export_that_fails_is_told_with_the_daemons_reason(
    hutch: Hutch, service: FakeService, tree: Path, tmp_path: Path, capfd: Captured, dest: str
) -> None:
    assert hutch("volume", "put", "-r", "web", "in", tree) == 0

    async def hurt() -> None:
        (pack,) = [info.key async for info in service.store.list("volumes/") if "/packs/" in info.key]
        data, _ = await service.store.get(pack)
        await service.store.put(pack, bytes(len(data)))

    anyio.run(hurt)
    capfd.readouterr()
    assert hutch("volume", "get", "web", "in", tmp_path / dest if dest != "-" else dest) == 1
    told = capfd.readouterr().err
    assert "is damaged" in told
    assert "archive" not in told


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", "link/out"])
def test_an_archive_cannot_leave_its_folder(service: FakeService, tmp_path: Path, name: str) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo(name))

    async def put() -> None:
        from hutch_mcp_tools.service import ServiceError
        from hutch_mcp_tools.volume_records import ImportRequest

        async def data() -> AsyncGenerator[bytes]:
            yield made.getvalue()

        with pytest.raises(ServiceError) as refused:
            await service.import_volume(ImportRequest(volume="web"), data())
        assert refused.value.code in ("archive_invalid", "folder_failed")

    anyio.run(put)
    assert not (tmp_path / "out").exists()
    assert [record.snapshot for record in anyio.run(service.list_volumes)] == [0]


def test_a_refusal_in_the_middle_of_sending_is_told_as_what_it_is(
    hutch: Hutch, service: FakeService, tmp_path: Path, capfd: Captured
) -> None:
    (tmp_path / "data").write_bytes(os.urandom(9 << 20))

    async def put() -> int:
        async with service.engine.lease(VolumeName.parse("web"), "run r-one", create=True):
            return await anyio.to_thread.run_sync(hutch, "volume", "put", "web", "data", tmp_path / "data")

    assert anyio.run(put) == 4
    assert "error: volume_held: " in capfd.readouterr().err


async def test_nothing_stays_of_what_is_carried_when_its_user_goes(service: FakeService) -> None:
    with anyio.CancelScope() as scope:
        async with service.engine.scratch() as folder:
            (folder / "file").write_text("half")
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert list(folder.parents[1].iterdir()) == []


def test_what_a_volume_may_not_hold_is_refused_before_all_of_it_is_here(tmp_path: Path) -> None:
    engine = Volumes(MemoryStore(), tmp_path / "cache", quotas=Quotas(VolumeQuota(max_bytes=1 << 20)))
    came = 0

    async def data() -> AsyncGenerator[bytes]:
        nonlocal came
        header = tarfile.TarInfo("huge")
        header.size = 1 << 40
        yield header.tobuf(tarfile.PAX_FORMAT)
        while True:
            came += 1
            yield bytes(1 << 20)

    async def put() -> str:
        with pytest.raises(HutchError) as refused:
            await put_archive(engine, VolumeName.parse("web"), "/", data(), replaces=True)
        return refused.value.code

    assert anyio.run(put) == "quota_exceeded"
    assert came < 3
