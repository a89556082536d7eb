"""State and volumes that an earlier version left, its running work included, opened by this one."""

import base64
import shutil
import tarfile
from pathlib import Path

import pytest

from hutch.client import Client
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.daemon import daemon, model_config, scripted_model, turn
from support.upgrade_sample import KEY, STORE

SAMPLES = Path(__file__).parent / "samples"
ASK = 'What did I ask before? SCRIPT: [{"shell": "cat note.txt"}, {"text": "For a note."}]'


def unpacked(sample: Path, folder: Path) -> None:
    """What the earlier daemon of this host left, with the rights that it gave its folders."""
    with tarfile.open(sample) as archive:
        archive.extractall(folder, filter="fully_trusted")
    for part in ("state", "cache", "volumes"):
        (folder / part).chmod(0o700)
        for path in (folder / part).rglob("*"):
            shutil.chown(path, folder.stat().st_uid)


async def text(client: Client, volume: str, path: str, at: str | None = None) -> str:
    read = await client.read_volume(ReadVolumeRequest(volume=volume, path=path, at=at))
    return base64.b64decode(read.data_base64 or "").decode()


@pytest.mark.slow
@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.tar.gz")), ids=lambda sample: sample.name)
async def test_what_an_earlier_version_left_is_all_there_and_goes_on(sample: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    unpacked(sample, folder)
    async with scripted_model() as url:
        more = model_config(url) + STORE.format(folder=folder)
        async with daemon(folder, more, env=KEY) as made, made.client() as client:
            runs = {run.command: run for run in await client.list_runs(20)}
            failed = next(run for command, run in runs.items() if "exit 3" in command)
            assert (failed.status, failed.exit_code, failed.stdout_bytes) == ("exited", 3, 5)
            cut = next(run for command, run in runs.items() if "half" in command)
            assert cut.is_ended
            assert "the daemon ended" in cut.reason

            assert [s.snapshot for s in await client.volume_log("plain")] == [4, 3, 2, 1]
            assert await text(client, "plain", "/put") == "by hand"
            assert [await text(client, "plain", "/file", at) for at in ("1", "2", "3")] == [
                "one\n",
                "two\n",
                "three\n",
            ]
            assert await text(client, "cut", "/half") == "half\n"  # committed by this one

            (before,) = (await client.list_sessions()).sessions
            assert (before.status, before.turns) == ("idle", 1)
            after = await turn(client, ASK, "work")
            assert (after.session_id, after.turns) == (before.session_id, 2)
            assert after.agent_session_id == before.agent_session_id
            assert after.last_message == "For a note."
            path = f"/.hutch/claude/projects/-workspace/{after.agent_session_id}.jsonl"
            transcript = await text(client, "work", path)
            assert transcript.index("Make a note") < transcript.index("What did I ask before?")
            for volume in ("plain", "work", "cut"):
                assert (await client.check_volume(volume)).problems == []
