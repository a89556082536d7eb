"""Runs through a real daemon, over its unix socket, in real sandboxes."""

import base64
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch.web.host import private_folder
from hutch_mcp_tools.events import RunEvent
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest, WriteVolumeRequest
from support.daemon import Daemon, daemon, output, run
from support.streams import LONG_S


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Daemon]:
    async with daemon(tmp_path_factory.mktemp("d") / "x") as made:
        yield made


@pytest.fixture
async def client(served: Daemon) -> AsyncGenerator[Client]:
    async with served.client() as connected:
        yield connected


async def refused(client: Client, code: str, **values: object) -> ServiceError:
    with pytest.raises(ServiceError) as error:
        await client.run(RunRequest.model_validate({"command": "true", **values}), 45)
    assert error.value.code == code
    return error.value


async def test_a_command_runs_and_both_streams_are_kept(client: Client) -> None:
    record = await run(client, "echo out; echo err >&2; exit 3")
    assert (record.status, record.exit_code) == ("exited", 3)
    assert await output(client, record) == ("out\n", "err\n")


async def test_a_run_says_which_policy_was_in_force_and_what_enforced_it(client: Client) -> None:
    record = await run(client, "true")
    assert record.policy["method"] == "bubblewrap"
    assert {"filesystem", "network", "processes", "syscalls"} <= set(record.policy["enforced"])  # type: ignore[call-overload]
    assert record.policy["granted"]["network"] == []  # type: ignore[index]


async def test_what_a_run_writes_into_a_volume_is_there_for_the_next(client: Client) -> None:
    first = await run(client, "mkdir -p a && echo one > a/one && chmod +x a/one", volumes=["notes:/data"])
    assert list(first.snapshots) == ["notes"]
    assert "A a/one" in first.changed["notes"]
    second = await run(client, "cat /data/a/one && test -x /data/a/one && pwd", volumes=["notes:/data"])
    assert (await output(client, second))[0] == "one\n/data\n"
    assert second.snapshots == {}


async def test_a_read_only_volume_refuses_writes(client: Client) -> None:
    await run(client, "echo 1 > x", volumes=["fixed"])
    record = await run(client, "cat x; echo 2 > x", volumes=["fixed:/workspace:ro"])
    stdout, stderr = await output(client, record)
    assert stdout == "1\n"
    assert "Read-only file system" in stderr


async def test_a_file_is_written_and_read_without_a_sandbox(client: Client) -> None:
    content = base64.b64encode(bytes(range(256))).decode()
    made = await client.write_volume(
        WriteVolumeRequest(volume="files", path="a/b.bin", content_base64=content)
    )
    assert made.files == 1
    read = await client.read_volume(ReadVolumeRequest(volume="files", path="/a/b.bin"))
    assert (read.kind, read.size, read.data_base64) == ("file", 256, content)
    with pytest.raises(ServiceError) as error:
        await client.write_volume(WriteVolumeRequest(volume="files", path="a/b.bin", content_base64=content))
    assert error.value.code == "path_exists"


@pytest.mark.parametrize("path", ["../etc/passwd", "/a/../../etc", "a\0b"])
async def test_a_path_that_leaves_a_volume_is_refused(client: Client, path: str) -> None:
    await client.write_volume(
        WriteVolumeRequest(volume="paths", path="x", content_base64="", mode="overwrite")
    )
    with pytest.raises(ServiceError) as error:
        await client.read_volume(ReadVolumeRequest(volume="paths", path=path))
    assert error.value.code == "path_invalid"


async def test_a_link_in_a_volume_is_told_and_never_followed(client: Client) -> None:
    await run(client, "ln -s /etc/passwd link", volumes=["links"])
    read = await client.read_volume(ReadVolumeRequest(volume="links", path="/link"))
    assert (read.kind, read.target, read.data_base64) == ("link", "/etc/passwd", None)


async def test_a_second_writer_is_told_who_holds_the_volume(client: Client) -> None:
    holder = await client.run(RunRequest(command="sleep 600", volumes=["busy"]), 0)
    while holder.status == "starting":
        holder = await client.get_run(holder.run_id, 0.05)
    error = await refused(client, "volume_held", volumes=["busy"])
    assert holder.run_id in error.message
    stopped = await client.stop_run(holder.run_id, 1)
    assert stopped.status == "cancelled"
    assert (await run(client, "true", volumes=["busy"])).exit_code == 0


async def test_a_wait_ends_before_the_run_and_the_run_goes_on(client: Client) -> None:
    record = await client.run(RunRequest(command="read x; echo done", timeout_s=30), 0)
    assert record.status in ("starting", "running", "exited")
    while not record.is_ended:
        record = await client.get_run(record.run_id, 45)
    assert record.exit_code == 0


async def test_the_deadline_is_the_runs_own(client: Client) -> None:
    record = await run(client, "echo begun; sleep 60", timeout_s=3)
    assert (record.status, record.reason) == ("timed_out", "wall time limit of 3 s")
    assert (await output(client, record))[0] == "begun\n"


async def test_output_arrives_while_the_command_works(client: Client) -> None:
    sender, receiver = anyio.create_memory_object_stream[RunEvent](1000)
    seen = b""
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            with sender:
                await client.run(
                    RunRequest(command="echo first; read x; echo second", timeout_s=20), 30, sender
                )

        group.start_soon(watch)
        async with receiver:
            async for event in receiver:
                seen += event.data
    assert seen == b"first\nsecond\n"


async def test_a_kept_sandbox_takes_further_commands(client: Client) -> None:
    first = await run(
        client, "echo 1 > /tmp/x; cd /; sleep 300 & echo started", session_id="new", volumes=["kept"]
    )
    session = first.session_id
    assert session is not None
    second = await run(client, "cat /tmp/x; echo 2 > y; pwd", session_id=session)
    assert (await output(client, second))[0] == "1\n/workspace\n"
    assert second.changed == {"kept": ["A y"]}
    error = await refused(client, "session_invalid", session_id=session, volumes=["other"])
    assert "settled" in error.hint
    ended = await client.stop_session(session)
    assert ended.status == "ended"
    await refused(client, "session_ended", session_id=session)


async def test_a_kept_sandbox_ends_when_nobody_uses_it(tmp_path: Path) -> None:
    more = "[policy]\nkept_idle_s = 1\n"
    async with daemon(tmp_path / "d", more) as made, made.client() as client:
        first = await run(client, "echo 1 > x", session_id="new", volumes=["idle"])
        assert first.session_id is not None
        with anyio.fail_after(LONG_S):
            while (session := await client.get_session(first.session_id)).status == "running":
                await anyio.sleep(0.05)
        assert (session.status, session.error) == ("ended", "no command for 1 s")
        assert (await run(client, "cat x", volumes=["idle"])).exit_code == 0


@pytest.mark.parametrize(
    ("code", "values"),
    [
        ("method_unknown", {"method": "none"}),
        ("network_denied", {"network": "full"}),
        ("workspace_denied", {"workspace": "/etc"}),
        ("volume_invalid", {"volumes": ["one:/etc"]}),
        ("volume_name_invalid", {"volumes": ["../other"]}),
        ("volume_invalid", {"volumes": ["x" * 10_000_000]}),
        ("volume_unknown", {"volumes": ["absent:/data:ro"]}),
        ("session_unknown", {"session_id": "s-none"}),
        ("env_invalid", {"env": {"A=B": "x"}}),
        ("command_invalid", {"command": ""}),
        ("limit_exceeded", {"memory_bytes": 1 << 50}),
    ],
)
async def test_what_cannot_be_given_is_refused_with_its_code(
    client: Client, code: str, values: dict[str, object]
) -> None:
    error = await refused(client, code, **values)
    assert error.message
    assert len(error.message) < 1000


async def test_a_command_that_does_not_exist_is_a_failed_run(client: Client) -> None:
    record = await run(client, ["no-such-program"])
    assert record.status in ("exited", "failed")
    assert record.exit_code != 0


async def test_fifty_runs_at_once_all_end(client: Client) -> None:
    ended: list[int | None] = []

    async def one() -> None:
        ended.append((await run(client, ["sh", "-c", "exit 7"])).exit_code)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(one)
    assert ended == [7] * 50


async def test_runs_and_sessions_are_found_by_a_prefix(client: Client) -> None:
    record = await run(client, "true")
    assert (await client.get_run(record.run_id[:8])).run_id == record.run_id
    with pytest.raises(ServiceError) as error:
        await client.get_run("r-")
    assert error.value.code == "run_unknown"


async def test_nothing_of_a_run_is_left_on_the_host(client: Client, served: Daemon) -> None:
    await run(client, "setsid sleep 4242 & setsid nohup sleep 4242 >/dev/null 2>&1 & exit 0")
    alive = [p for p in Path("/proc").glob("[0-9]*/cmdline") if _is_sleeper(p)]
    assert alive == []
    assert list(private_folder(served.config).iterdir()) == []


def _is_sleeper(path: Path) -> bool:
    try:
        return path.read_bytes() == b"sleep\x004242\x00"
    except OSError:
        return False
