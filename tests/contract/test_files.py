"""Files: what the host sees of an attack, and paths in everything that takes one."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest, WriteVolumeRequest
from support.contract_cases import shows
from support.contract_column import Column

pytestmark = pytest.mark.slow  # real sandboxes, by two users

_LEAVING = ["..", "../x", "/a/../../x", "/..", "a\0b", "./../x", "a/b/../../../x"]


@shows("files/api-paths")
@pytest.mark.parametrize("path", _LEAVING)
async def test_a_path_that_leaves_is_refused_with_one_code(sandbox: Column, path: str) -> None:
    await _write(sandbox, "paths", "/inside")
    codes = {
        await _code(sandbox.client.read_volume(ReadVolumeRequest(volume="paths", path=path))),
        await _code(
            sandbox.client.write_volume(WriteVolumeRequest(volume="paths", path=path, content_base64=""))
        ),
    }
    assert codes == {"path_invalid"}


@shows("files/api-paths")
@pytest.mark.parametrize(
    "target", ["/data/../etc", "/..", "/usr/x", "/proc", "/", "//etc", "/./etc", "data/../../etc"]
)
async def test_a_volume_cannot_be_mounted_over_the_system(sandbox: Column, target: str) -> None:
    request = RunRequest(command="true", volumes=[f"paths:{target}"], method=sandbox.method)
    assert await _code(sandbox.client.run(request, 20)) == "volume_invalid"


@shows("files/api-paths")
async def test_odd_spellings_of_an_inner_path_reach_the_same_file(sandbox: Column) -> None:
    await _write(sandbox, "paths", "/a/b")
    read = await sandbox.client.read_volume(ReadVolumeRequest(volume="paths", path="/a/b"))
    assert (read.kind, read.size) == ("file", 3)


@shows("files/working-folder")
@pytest.mark.parametrize(
    "folder", ["{out}", "/etc", "{ws}/../out", "{ws}/..", "{ws}x", "//etc", "/", "ws", "{ws}\0"]
)
async def test_a_workspace_outside_the_grants_is_refused(sandbox: Column, folder: str) -> None:
    named = folder.format(out=sandbox.stage.out, ws=sandbox.stage.workspace)
    request = RunRequest(command="true", workspace=named, method=sandbox.method)
    assert await _code(sandbox.client.run(request, 20)) == "workspace_denied"


@shows("files/working-folder")
async def test_a_link_in_a_granted_folder_is_no_workspace(sandbox: Column) -> None:
    link = sandbox.stage.workspace / "link-to-out"
    link.symlink_to(sandbox.stage.out)
    inner = sandbox.stage.out / "inner"
    inner.mkdir()
    try:
        for path in (link, link / "inner"):
            for session in (None, "new"):
                error = await sandbox.refusal(workspace=str(path), session_id=session)
                assert error.code == "workspace_denied"
    finally:
        inner.rmdir()
        link.unlink()


@shows("files/working-folder")
async def test_a_granted_workspace_is_read(sandbox: Column) -> None:
    record = await sandbox.run("cat granted", workspace=str(sandbox.stage.workspace))
    assert await sandbox.output(record) == ("granted\n", "")


@shows("files/no-sandbox")
@pytest.mark.parametrize("method", ["none", "host", "unsandboxed", "wrapper", "../bubblewrap"])
async def test_no_sandbox_cannot_be_asked_for(sandbox: Column, method: str) -> None:
    request = RunRequest(command="true", method=method)
    assert await _code(sandbox.client.run(request, 20)) == "method_unknown"


@shows("files/fifo")
async def test_a_fifo_in_a_volume_blocks_nobody(sandbox: Column) -> None:
    with anyio.fail_after(60):
        record = await sandbox.run(
            "mkfifo pipe && mkdir d && mkfifo d/pipe && echo x > file", volumes=["fifos"]
        )
        assert (record.status, record.exit_code) == ("exited", 0)
        listed = await sandbox.client.read_volume(ReadVolumeRequest(volume="fifos"))
    assert [entry.name for entry in listed.entries or ()] == ["d", "file"]


@shows("files/setuid-outside")
async def test_no_bit_or_attribute_of_power_is_found_on_the_host(sandbox: Column) -> None:
    volume = "attacked-files"
    await sandbox.attack("files")
    for path in _files(sandbox.daemon.config.daemon.cache):
        with suppress(FileNotFoundError):  # the daemon tidies up meanwhile
            assert not path.lstat().st_mode & stat.S_ISUID, path
            assert [name for name in os.listxattr(path) if name.startswith(("security.", "trusted."))] == []
    listed = await sandbox.client.read_volume(ReadVolumeRequest(volume=volume))
    assert {entry.name for entry in listed.entries or () if entry.mode & 0o6000} == set()
    # a copy that was restored, not the working folder that the attack left
    again = await sandbox.run("find /restored -type f -perm /6000", volumes=[f"{volume}:/restored:ro"])
    assert (await sandbox.output(again))[0] == ""
    assert "script" in {entry.name for entry in listed.entries or () if entry.mode & 0o100}


@shows("files/no-stubs")
async def test_a_workspace_is_after_a_run_as_it_was_before(sandbox: Column) -> None:
    before = _picture(sandbox.stage.workspace)
    await sandbox.run(
        "mkdir .claude; touch x .envrc; rm granted; ls -la",
        workspace=str(sandbox.stage.workspace),
        volumes=["stubs:/s"],
    )
    assert _picture(sandbox.stage.workspace) == before


def _files(folder: Path) -> Iterator[Path]:
    paths = (Path(at, name) for at, _, names in os.walk(folder) for name in names)
    return (path for path in paths if path.is_file() and not path.is_symlink())


def _picture(folder: Path) -> dict[str, tuple[int, int, int]]:
    paths = [folder, *folder.rglob("*")]
    return {str(p): (p.lstat().st_mode, p.lstat().st_size, p.lstat().st_mtime_ns) for p in paths}


async def _write(column: Column, volume: str, path: str) -> None:
    await column.client.write_volume(
        WriteVolumeRequest(volume=volume, path=path, content_base64="eHh4", mode="overwrite")
    )


async def _code(call: object) -> str:
    with pytest.raises(ServiceError) as refused:
        await call  # type: ignore[misc]
    return refused.value.code
