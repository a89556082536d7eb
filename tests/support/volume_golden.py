"""Writes the golden volume of the format's version 1. Run once per version; the files are never edited.

cd tests && python -m support.volume_golden volumes/golden/v1
"""

import os
import random
import sys
import tempfile
from pathlib import Path

import anyio

from hutch.volumes import DirectoryStore, RetentionRules, VolumeName, Volumes
from support.volume_engine import WEB, HandClock, run_on

FORK = VolumeName.parse("fork")


async def main(target: Path) -> None:
    volumes = Volumes(DirectoryStore(target), Path(tempfile.mkdtemp()), clock=HandClock())
    async with run_on(volumes, "golden") as (lease, folder):
        plant(folder)
        await volumes.commit(lease, "first")
        (folder / "text").write_bytes(b"changed\n")
        (folder / "folder/inner").unlink()
        settle_times(folder)
        await volumes.commit(lease, "second")
    for number in range(65):
        await volumes.write(
            lease.name, "/count", b"%d\n" % number, mode="overwrite", holder=f"write {number}"
        )
    await volumes.tag(WEB, "first", 1)
    await volumes.fork(WEB, FORK, at=2)
    await volumes.write(FORK, "/text", b"of the fork\n", mode="overwrite")
    await volumes.fork(FORK, VolumeName.parse("untouched"), at=0)
    await volumes.fork(WEB, VolumeName.parse("gone"))
    await volumes.remove(VolumeName.parse("gone"))
    rules = RetentionRules(keep_all_s=0, keep_last=2, hourly=0, daily=0, weekly=0, monthly=0)
    await volumes.thin(WEB, rules)


def plant(folder: Path) -> None:
    """One of each thing that a volume keeps."""
    (folder / "text").write_bytes(b"hello\n")
    (folder / "empty").write_bytes(b"")
    (folder / "program").write_bytes(b"#!/bin/sh\n")
    (folder / "program").chmod(0o755)
    (folder / "large").write_bytes(random.Random(1).randbytes(80_000) + b"tail" * 60_000)
    (folder / "folder").mkdir()
    (folder / "folder/inner").write_bytes(b"inner\n")
    (folder / "empty-folder").mkdir(mode=0o700)
    (folder / "link").symlink_to("../outside")
    (folder / os.fsdecode(b"not-utf8-\xff")).write_bytes(b"bytes\n")
    os.link(folder / "text", folder / "folder/same-as-text")
    os.setxattr(folder / "program", "user.origin", b"\x00\xff")
    with (folder / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 30)
        sparse.seek(1 << 29)
        sparse.write(b"island")
    settle_times(folder)


def settle_times(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, ns=(0, 1_700_000_000_123_456_789), follow_symlinks=False)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
