"""Several commands in one kept sandbox: each has its own commit while the stream goes on."""

import mmap
from pathlib import Path

import pytest

from hutch.volumes import DirectoryStore, Snapshot, Volumes
from support.streams import until
from support.volume_engine import WEB, run_on, tree_of


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")


def changes(snapshot: Snapshot | None) -> list[str]:
    return [str(change) for change in snapshot.changes] if snapshot else []


async def test_each_command_s_commit_tells_its_own_changes(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "session") as stream:
            (folder / "a").write_bytes(b"1")
            await until(lambda: stream.status.commits > 0)
            assert changes(await volumes.commit(lease, "command 1")) == ["A a"]
            (folder / "b").write_bytes(b"2")
            assert changes(await volumes.commit(lease, "command 2")) == ["A b"]
            assert await volumes.commit(lease, "command 3") is None
        assert await volumes.commit(lease, "session") is None
    assert await tree_of(volumes) == {"/a": b"1", "/b": b"2"}
    runs = [snapshot.run_id for snapshot in await volumes.log(WEB) if not snapshot.while_running]
    assert runs[:2] == ["command 2", "command 1"]


async def test_the_last_commit_reads_again_what_was_read_while_the_sandbox_lived(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "session"):
            with (folder / "mapped").open("w+b") as file:
                file.write(bytes(4096))
                file.flush()
                page = mmap.mmap(file.fileno(), 4096)
                page[:6] = b"first "
                await volumes.commit(lease, "command 1")
                page[:6] = b"second"  # to a page that is dirty already: the file's times stay
                page.close()
        await volumes.commit(lease, "session")
    assert (await tree_of(volumes))["/mapped"][:6] == b"second"  # type: ignore[index]
