"""Writes the state and the volumes of a daemon, for later versions to open. Its product is never edited.

    cd tests && python -m support.upgrade_sample daemon/samples/NAME.tar.gz

What is in it is told by `tell`; tests/daemon/test_upgrade.py says what has to be there later. The
conversation is as Claude Code has stored it, but for its own prompts, which are not ours to keep.
"""

import base64
import json
import signal
import sys
import tarfile
import tempfile
from pathlib import Path

import anyio

from hutch.state.store import open_state
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.volume_records import ReadVolumeRequest, WriteVolumeRequest
from support.daemon import Daemon, daemon, model_config, run, scripted_model, turn

STORE = '\n[storage]\nurl = "file://{folder}/volumes"\n'
KEY = {"ANTHROPIC_API_KEY": "sk-planted-canary"}
_ASK = 'Make a note. SCRIPT: [{"write": "/workspace/note.txt", "content": "first\\n"}, {"text": "Noted."}]'
_OF_THE_HOST = ("probes", "token", "daemon.json", "daemon.lock", "state.db-shm")
_KEPT = ("type", "message", "uuid", "timestamp", "isSidechain", "userType", "cwd", "sessionId", "version")


async def draft(made: Daemon) -> tuple[str, bytes]:
    """Have a real turn, and return the conversation's id and its transcript without Claude's own words."""
    async with made.client() as client:
        session = await turn(client, _ASK, "work")
        assert session.agent_session_id
        path = f"/.hutch/claude/projects/-workspace/{session.agent_session_id}.jsonl"
        read = await client.read_volume(ReadVolumeRequest(volume="work", path=path))
    lines, parent = [], None
    for line in base64.b64decode(read.data_base64 or "").splitlines():
        said = json.loads(line)
        if said["type"] in ("user", "assistant"):
            lines.append({"parentUuid": parent, **{name: said[name] for name in _KEPT if name in said}})
            parent = said["uuid"]
    return session.agent_session_id, b"".join(json.dumps(line).encode() + b"\n" for line in lines)


async def tell(made: Daemon, conversation: str, transcript: bytes) -> None:
    """A plain volume of four snapshots, a conversation, a run that failed, one that dies with its daemon."""
    async with made.client() as client:
        for text in ("one", "two", "three"):
            await run(client, ["sh", "-c", f"echo {text} > /workspace/file"], volumes=["plain:/workspace"])
        await run(client, ["sh", "-c", "echo said; exit 3"])
        stored = {"format": 1, "agent": "claude", "session_id": conversation}
        for volume, path, data in (
            ("plain", "/put", b"by hand"),
            ("work", "/note.txt", b"first\n"),
            ("work", "/.hutch/session.json", json.dumps(stored).encode()),
            ("work", f"/.hutch/claude/projects/-workspace/{conversation}.jsonl", transcript),
        ):
            content = base64.b64encode(data).decode()
            await client.write_volume(WriteVolumeRequest(volume=volume, path=path, content_base64=content))
        cut = "echo half > /workspace/half; sleep 500"
        await client.run(RunRequest(command=["sh", "-c", cut], volumes=["cut:/workspace"]), 0)
        with anyio.fail_after(60):
            while not list((made.folder / "cache").rglob("half")):
                await anyio.sleep(0.05)
    await made.end(signal.SIGKILL)


async def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        drafts, folder = Path(temporary) / "draft", Path(temporary) / "d"
        async with scripted_model() as url:
            async with daemon(drafts, model_config(url), env=KEY) as made:
                conversation, transcript = await draft(made)
            async with open_state(drafts / "state/state.db") as state:
                sessions, runs = await state.sessions(10), await state.runs(10)
            async with daemon(folder, model_config(url) + STORE.format(folder=folder), env=KEY) as made:
                await tell(made, conversation, transcript)
                async with open_state(folder / "state/state.db") as state:
                    for session in sessions:
                        await state.put_session(session)
                    for each in runs:
                        await state.put_run(each)
                with tarfile.open(target, "w:gz") as archive:
                    for part in ("state", "volumes", "cache"):
                        archive.add(folder / part, part, filter=_plain)
                await made.start()  # it ends what its predecessor left


def _plain(found: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Nothing of this host: no owner, no socket, no measurement of a method."""
    if not (found.isfile() or found.isdir()) or found.name.rpartition("/")[2] in _OF_THE_HOST:
        return None
    found.uid = found.gid = 0
    found.uname = found.gname = ""
    return found


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
