"""A stream where the kernel lets nothing, or hardly anything, be watched.

For root of a user namespace of its own, which has limits of its own: `LIMIT` is a file of /proc/sys/user.
Says each state of the stream's status that it came to, as JSON lines.
"""

import json
import sys
from pathlib import Path

import anyio

from hutch.volumes import DirectoryStore, Volumes
from hutch.volumes.streaming import stream as streaming
from hutch.volumes.streaming import watch
from support.streams import until, until_folder_is_stored
from support.volume_engine import commit_files, run_on


def say(word: str, told: str | None) -> None:
    sys.stdout.write(json.dumps([word, told]) + "\n")


async def work(folder: Path, limit: Path, least: str) -> None:
    most = limit.read_text()
    limit.write_text(least)
    streaming._LOOK_S, watch._FORGIVEN_S = 0.5, 1.0
    volumes = Volumes(DirectoryStore(folder / "store"), folder / "cache")
    await commit_files(volumes, {f"folder-{number}/f": b"old" for number in range(20)})
    async with run_on(volumes) as (lease, tree):
        async with volumes.stream(lease, "run 2") as stream:
            await until(lambda: stream.status.scan_only is not None)
            say("limited", stream.status.scan_only)
            for number in range(20):
                (tree / f"folder-{number}/f").write_bytes(b"new")
            (tree / "deep/er").mkdir(parents=True)
            (tree / "deep/er/f").write_bytes(b"1")
            await until_folder_is_stored(volumes, tree)
            say("stored", stream.status.scan_only)
            limit.write_text(most)
            await until(lambda: stream.status.scan_only is None)
            streaming._LOOK_S = 1000.0  # from now on by what is heard alone
            await anyio.sleep(1.0)
            (tree / "deep/er/f").write_bytes(b"heard of")
            await until_folder_is_stored(volumes, tree)
            say("heard", stream.status.scan_only)
        await volumes.commit(lease, "run 2")


if __name__ == "__main__":
    anyio.run(work, Path(sys.argv[1]), Path("/proc/sys/user") / sys.argv[2], sys.argv[3])
