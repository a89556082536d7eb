"""Life cycle: what hostile code can leave behind, how it ends, and what the daemon's own end leaves."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import WriteVolumeRequest
from support.contract_cases import shows
from support.contract_column import ORDINARY_USER, ROOT_USER, Column, Who, column, home_of, who
from support.contract_host import alive, control_groups, mounts
from support.daemon import daemon

pytestmark = pytest.mark.slow  # real sandboxes, by two users

_MARK = f"7{os.getpid()}"  # seconds that a process of these attacks sleeps, by which this host finds it
_SLEEP = f"sleep {_MARK}"


@pytest.fixture(params=[ROOT_USER, ORDINARY_USER])
async def own(request: pytest.FixtureRequest) -> AsyncGenerator[Column]:
    """A daemon that only this test uses, since it is to be killed."""
    async with column(request.param) as made:
        yield made


@shows("life/kill-daemon")
@shows("volumes/kill")
async def test_nothing_is_left_of_a_killed_daemon_whatever_ran(own: Column) -> None:
    command = f"echo kept > x; trap '' TERM; setsid {_SLEEP} & echo ready; {_SLEEP}"
    record = await own.begin(command, says="ready", volumes=["va"], timeout_s=600)
    kept = await own.run(f"setsid {_SLEEP} & echo > y", session_id="new", volumes=["ka"])
    await own.daemon.end(signal.SIGKILL)
    with anyio.fail_after(60):
        while alive(_SLEEP):
            await anyio.sleep(0.02)
    await own.daemon.start()
    async with own.daemon.client() as client:
        lost = await client.get_run(record.run_id)
        assert (lost.status, (await client.get_session(kept.session_id or "")).status) == ("lost", "lost")
        assert all(volume.held_by is None for volume in await client.list_volumes())
        for volume, name in (("va", "x"), ("ka", "y")):
            again = await client.run(RunRequest(command=f"test -e {name}", volumes=[volume]), 30)
            assert again.exit_code == 0
    assert list(Path(f"{own.daemon.config.daemon.socket}.runs").iterdir()) == []
    names = (record.run_id, kept.session_id or "?", own.stage.folder.name)
    left = [line for line in (*mounts(), *control_groups()) if any(name in line for name in names)]
    assert left == []
    own.stage.assert_untouched()


@shows("life/stop-daemon")
async def test_a_daemon_that_is_asked_to_end_leaves_nothing_though_runs_resist(own: Column) -> None:
    command = f"echo kept > x; trap '' TERM INT HUP; echo ready; while :; do {_SLEEP}; done"
    record = await own.begin(["/bin/bash", "-c", command], says="ready", volumes=["va"])
    began = time.monotonic()
    assert await own.daemon.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 30  # they would go on for hours
    assert alive(_SLEEP) == []
    await own.daemon.start()
    async with own.daemon.client() as client:
        assert (await client.get_run(record.run_id)).status == "cancelled"
        assert (await client.run(RunRequest(command="test -e x", volumes=["va"]), 30)).exit_code == 0


@shows("life/disk-full")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
@pytest.mark.parametrize("name", [ROOT_USER, ORDINARY_USER])
async def test_a_full_disk_is_a_clean_error_and_the_database_stays_whole(name: str) -> None:
    user = who(name)
    with _small_file_system(user) as folder:
        async with daemon(folder, env=user.env, python=user.python) as made, made.client() as client:
            assert (await client.run(RunRequest(command="echo 1 > x", volumes=["va"]), 30)).exit_code == 0
            _fill(folder / "ballast")
            commands = ("echo 2 > y", "head -c 4M /dev/zero > z", "yes | head -c 1M")
            requests = [RunRequest(command=command, volumes=["va"]) for command in commands]
            assert "internal" not in [await _end_of(client, request) for request in requests]
            refused = await _first_refusal(client, folder)
            assert refused.code != "internal"
            assert made.process is not None
            assert made.process.returncode is None
            for ballast in folder.glob("*ballast"):
                ballast.unlink()
            after = await client.run(RunRequest(command="cat x; echo 3 > w", volumes=["va"]), 30)
            assert (after.status, after.exit_code) == ("exited", 0)
        database = sqlite3.connect(f"file:{folder}/state/state.db?mode=ro", uri=True)
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        database.close()


_UNUSABLE = [
    '[methods.bubblewrap]\nkind = "bubblewrap"\nbwrap = "/nonexistent/bwrap"\n',
    '[policy]\nneeds = ["kernel"]\n',
    '[policy]\nmethod = "bare"\n[methods.bare]\nkind = "wrapper"\ncommand = ["env", "{command}"]\n',
    '[policy]\nmethod = "gone"\n[methods.gone]\nkind = "wrapper"\ncommand = ["/no/x", "{command}"]\n',
]


@shows("life/missing-method")
@pytest.mark.parametrize("name", [ROOT_USER, ORDINARY_USER])
@pytest.mark.parametrize("config", _UNUSABLE)
async def test_what_cannot_be_guaranteed_executes_nothing(config: str, name: str) -> None:
    user = who(name)
    with home_of(user) as folder:
        trace = folder / "executed"
        async with (
            daemon(folder, config, env=user.env, python=user.python) as made,
            made.client() as client,
        ):
            for session in (None, "new"):
                request = RunRequest(command=["/bin/touch", str(trace)], session_id=session)
                code = await _end_of(client, request)
                assert not trace.exists(), f"it was executed, and ended as {code}"
                assert code in ("method_unavailable", "guarantee_missing")


async def _end_of(client: Client, request: RunRequest) -> str:
    """A run's last status or its refusal's code, however long the method's probe takes."""
    try:
        record = await client.run(request, 45)
        while not record.is_ended:
            record = await client.get_run(record.run_id, 45)
    except ServiceError as error:
        return error.code
    return record.status


async def _first_refusal(client: Client, folder: Path) -> ServiceError:
    """Fill what ended runs give back, which may take them a moment, until a large write is refused."""
    for content in "ABCDEFGH":
        _fill(folder / f"more-{content}-ballast")
        try:
            await client.write_volume(
                WriteVolumeRequest(volume="va", path="/big", content_base64=content * 4_000_000)
            )
        except ServiceError as error:
            return error
    raise AssertionError("a full disk took 24 MB")


@contextmanager
def _small_file_system(user: Who) -> Iterator[Path]:
    options = f"size=48m,mode=0700,uid={user.uid},gid={user.uid}"
    with home_of(user) as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "hutch-small", str(folder)], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(ballast: Path) -> None:
    """Leave no room at all."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass
