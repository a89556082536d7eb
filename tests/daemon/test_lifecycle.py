"""The daemon's own life: how it starts, what it refuses, how it ends, and what a kill leaves."""

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import anyio
import httpx2
import pytest

from hutch.config import load
from hutch.web.host import private_folder
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.daemon import BASE, Daemon, daemon, output, run
from support.streams import LONG_S

pytestmark = pytest.mark.slow


def serve(folder: Path, more: str) -> "subprocess.CompletedProcess[str]":
    """Run `hutch serve` with a configuration that it must refuse."""
    folder.mkdir()
    (folder / "config.toml").write_text(BASE.format(folder=folder) + more)
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "HUTCH_CONFIG": str(folder / "config.toml")}
    return subprocess.run(
        [sys.executable, "-m", "hutch", "serve"],
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


async def test_it_listens_where_only_its_owner_comes_in(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        assert stat.S_IMODE(made.config.daemon.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "d/state/token").stat().st_mode) == 0o600
        assert made.url.startswith("http://127.0.0.1:")
        async with httpx2.AsyncClient(base_url=made.url) as http:
            assert (await http.get("/health")).json()["status"] == "ok"
            assert (await http.post("/mcp", json={})).status_code == 401
            assert (await http.post("/api/run", json={})).status_code == 401
            evil = {"Host": "evil.example", "Authorization": f"Bearer {made.token}"}
            assert (await http.post("/mcp", json={}, headers=evil)).status_code == 421
    assert not made.config.daemon.socket.exists()


async def test_a_token_survives_a_restart(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        token = made.token
        await made.restart()
        assert made.token == token


def test_a_mistyped_key_is_named_with_its_neighbour(tmp_path: Path) -> None:
    refused = serve(tmp_path / "d", more="[policy]\nmethdo = 'bubblewrap'\n")
    assert refused.returncode != 0
    assert "methdo" in refused.stderr
    assert "method" in refused.stderr


async def test_a_second_daemon_on_the_same_state_is_refused(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        second = subprocess.run(
            [sys.executable, "-m", "hutch", "serve"],
            env={"HUTCH_CONFIG": str(made.folder / "config.toml"), "PATH": os.environ["PATH"], "HOME": "/"},
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert second.returncode == 1
        assert "daemon_running" in second.stderr or "another daemon" in second.stderr
        async with made.client() as client:  # the first is not disturbed
            assert (await run(client, "true")).exit_code == 0


async def test_a_request_to_end_ends_runs_and_commits_what_they_wrote(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        async with made.client() as client:
            record = await client.run(
                RunRequest(command="echo kept > x; echo ready; sleep 600", volumes=["vol"]), 0
            )
            await until_said(made, record.run_id, "ready")
        assert await made.end(signal.SIGTERM) == 0
        await made.start()
        async with made.client() as client:
            ended = await client.get_run(record.run_id)
            assert (ended.status, ended.reason) == ("cancelled", "the daemon is shutting down")
            assert list(ended.snapshots) == ["vol"]
            assert (await client.read_volume(ReadVolumeRequest(volume="vol", path="/x"))).size == 5


async def test_a_killed_daemon_leaves_nothing_running_and_loses_nothing(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        async with made.client() as client:
            await run(client, "echo before > x", volumes=["vol"])
            nap = f"98765.{os.getpid()}"  # nobody else's
            command = f"echo after > x; echo ready; exec sleep {nap}"
            record = await client.run(RunRequest(command=command, volumes=["vol"], timeout_s=600), 0)
            kept = await run(client, f"setsid sleep {nap} & echo ok", session_id="new", volumes=["kept"])
            await until_said(made, record.run_id, "ready")
        await made.end(signal.SIGKILL)
        await gone(f"sleep\x00{nap}\x00")
        await made.start()
        async with made.client() as client:
            lost = await client.get_run(record.run_id)
            assert lost.status == "lost"
            assert (await output(client, lost))[0] == "ready\n"
            assert kept.session_id is not None
            assert (await client.get_session(kept.session_id)).status == "lost"
            # the last commit or better: what was written before the kill was committed under the same lease
            read = await run(client, "cat x", volumes=["vol"])
            assert (await output(client, read))[0] == "after\n"
            assert all(volume.held_by is None for volume in await client.list_volumes())
        assert list(private_folder(made.config).iterdir()) == []
        # walked, as other tests' groups go while it looks, which a glob takes amiss
        groups = (name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names)
        assert not [name for name in groups if record.run_id in name]


async def test_it_tells_systemd_when_it_is_ready_and_when_it_stops(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(100)
        async with daemon(tmp_path / "d", env={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}):
            heard = {await anyio.to_thread.run_sync(listening.recv, 100) for _ in range(3)}
            assert heard == {b"READY=1", b"WATCHDOG=1"}
        said = b""
        while said != b"STOPPING=1":
            said = await anyio.to_thread.run_sync(listening.recv, 100)


async def test_hostile_bodies_are_refused_and_the_daemon_lives(tmp_path: Path) -> None:
    bodies = (
        b"[" * 1_000_000,
        b'{"request":' * 200_000,
        b"x" * (17 << 20),
        b"\xff\xfe",
        b"{}",
        b"null",
        b'{"wait_s": 1e999}',
    )
    async with daemon(tmp_path / "d") as made:
        headers = {"Authorization": f"Bearer {made.token}", "Content-Type": "application/json"}
        accept = {"Accept": "application/json, text/event-stream"}
        async with httpx2.AsyncClient(base_url=made.url, headers=headers, timeout=100) as http:
            for body in bodies:
                assert (await http.post("/api/run", content=body)).status_code in (413, 422), body[:20]
                answer = await http.post("/mcp", content=body, headers=accept)
                assert answer.status_code in (400, 413), body[:20]
                assert (await http.get("/health")).status_code == 200


async def until_said(made: Daemon, run_id: str, word: str) -> None:
    """Return when a run's log on disk holds `word`."""
    path = made.config.daemon.state / "runs" / run_id / "stdout"
    with anyio.fail_after(LONG_S):
        while not path.exists() or word not in path.read_text():
            await anyio.sleep(0.02)


async def gone(cmdline: str) -> None:
    """Return when no process has this command line."""
    with anyio.fail_after(LONG_S):
        while any(_cmdline(p) == cmdline for p in Path("/proc").glob("[0-9]*/cmdline")):
            await anyio.sleep(0.02)


def _cmdline(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def hutch(made: Daemon, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line as a person would."""
    env = {**made.env, "HUTCH_CONFIG": str(made.folder / "config.toml")}
    command = [sys.executable, "-m", "hutch", *arguments]
    return subprocess.run(
        command, env=env, check=False, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL
    )


async def test_a_person_can_end_the_daemon_and_the_next_command_starts_it_again(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        async with made.client() as client:
            record = await client.run(
                RunRequest(command="echo kept > x; echo ready; sleep 600", volumes=["vol"]), 0
            )
            await until_said(made, record.run_id, "ready")
        ended = await anyio.to_thread.run_sync(hutch, made, "stop", "--daemon")
        assert (ended.returncode, ended.stderr) == (
            0,
            "the daemon has ended; what its runs had written is committed\n",
        )
        again = await anyio.to_thread.run_sync(hutch, made, "volume", "cat", "vol", "x")
        assert again.stdout == "kept\n"
        file = made.folder / "config.toml"
        file.write_text(file.read_text() + "\n[policy\n")  # broken since
        ended = await anyio.to_thread.run_sync(hutch, made, "stop", "--daemon")
        assert ended.returncode == 0
        assert ended.stderr.startswith(f"config_invalid: {file}: is not TOML")
        assert ended.stderr.endswith("the daemon has ended; what its runs had written is committed\n")
        none = await anyio.to_thread.run_sync(hutch, made, "stop", "--daemon")
        assert (none.returncode, none.stderr.splitlines()[-1]) == (
            0,
            f"no daemon runs at {made.config.daemon.socket}",
        )


async def test_a_port_that_nobody_asked_for_and_another_has_is_no_obstacle(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 8750))
            other.listen()
        except OSError:
            pass  # somebody has it already, which does as well
        folder = tmp_path / "d"
        folder.mkdir()
        text = BASE.format(folder=folder).replace('listen = "127.0.0.1:0"\n', "")
        (folder / "config.toml").write_text(text)
        env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        made = Daemon(folder, load(folder / "config.toml", env), env)
        await made.start()
        try:
            assert not made.url.endswith(":8750")
        finally:
            assert await made.end() == 0


async def test_an_agent_without_a_credential_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        with pytest.raises(ServiceError) as refused:
            await client.start_agent(AgentRequest(agent="claude", prompt="hello"), 20)
        assert refused.value.code == "agent_keyless"
        assert "ANTHROPIC_API_KEY" in refused.value.message
        agents = (await client.doctor())["agents"]
        [agent] = [agent for agent in agents if agent["name"] == "claude"]
        assert (agent["works"], agent["reason"]) == (False, refused.value.message)
