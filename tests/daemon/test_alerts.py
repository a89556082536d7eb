"""What the owner is told when nobody watches, by real runs of a real daemon."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from hutch.alerts.sending import _post
from support.daemon import daemon, model_config, run, scripted_model
from support.exchange_world import Server
from support.secret_host import PLANTED

pytestmark = pytest.mark.slow

TELL = """#!/bin/sh
{ cat; echo; env | sed 's/^/# /'; } >> %s
"""
ALERTS = """
[alerts.tell]
command = ["{program}"]

[alerts.gone]
on = ["failed"]
command = ["/nowhere/at-all"]

[policy]
networks = ["model"]
"""


async def until(told: Callable[[], list[dict[str, str]]], *events: str) -> list[dict[str, str]]:
    with anyio.fail_after(60):
        while {f"{one['event']} {one['level']}".strip() for one in told()} != set(events):
            await anyio.sleep(0.05)
    return told()


async def test_failures_refusals_and_budgets_are_told_once_and_as_data(tmp_path: Path) -> None:
    program, file = tmp_path / "tell", tmp_path / "told"
    program.write_text(TELL % file)
    program.chmod(0o755)

    def told() -> list[dict[str, str]]:
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]

    async with scripted_model() as url:
        config = model_config(url) + ALERTS.format(program=program)
        async with (
            daemon(tmp_path / "d", config, env={"PLANTED": PLANTED}) as house,
            house.client() as client,
        ):
            await run(client, "true")
            curl = 'curl -s --noproxy "" -x "$HTTP_PROXY"'
            ask = f'{curl} {url}/v1/messages -d \'{{"model":"m","messages":[]}}\''
            strange = f'{curl} "http://a.example.org/\\$(touch)"'
            command = f"{strange}; {strange}; {ask}; {ask}; exit 3"
            record = await run(client, command, network="model", budget_requests=1)
            assert record.status == "budget"
            await run(client, "exit 4")
            notices = await until(told, "denied", "budget hard", "failed")
        assert [one["event"] for one in notices].count("denied") == 1  # a host is told of once
        assert {one["alert"] for one in notices} == {"tell"}
        (denied,) = [one for one in notices if one["event"] == "denied"]
        assert denied["run_id"] == record.run_id
        assert "a.example.org:80" in denied["text"]
        (failed,) = [one for one in notices if one["event"] == "failed"]
        assert failed["text"].endswith("ended as exited: its exit code is 4")
        passed = [line for line in file.read_text().splitlines() if line.startswith("# ")]
        assert "# PATH=/usr/local/bin:/usr/bin:/bin" in passed
        assert PLANTED not in "".join(passed)
        assert "alert gone was not taken: FileNotFoundError" in house.log()


async def test_a_webhook_gets_it_as_json_and_its_url_is_in_no_log(tmp_path: Path) -> None:
    server = Server(headers=[("Content-Length", "5")])

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await server(stream)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        port = listener.extra(SocketAttribute.local_port)
        tasks.start_soon(listener.serve, serve)
        config = f'[alerts.hook]\non = ["failed"]\nwebhook = "http://127.0.0.1:{port}/{PLANTED}"\n'
        async with daemon(tmp_path / "d", config) as house, house.client() as client:
            record = await run(client, "exit 4")
            with anyio.fail_after(60):
                while "alert hook was sent" not in house.log():
                    await anyio.sleep(0.05)
            said = json.loads(server.seen[0].body)
            assert (said["alert"], said["event"], said["run_id"]) == ("hook", "failed", record.run_id)
            assert server.seen[0].target == f"/{PLANTED}"
        assert PLANTED not in house.log()
        tasks.cancel_scope.cancel()


async def test_of_a_webhooks_answer_nothing_but_the_status_is_read() -> None:
    async with _endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n") as url:
        assert await _post(url, {}) == ""


async def test_a_webhook_that_answers_for_ever_is_given_up() -> None:
    async with _endless(b"HTTP/1.1 100 Continue\r\n\r\n") as url:
        assert await _post(url, {}, within_s=0.5) == "no answer within 0 s"


@asynccontextmanager
async def _endless(piece: bytes) -> AsyncGenerator[str]:
    """Yield the URL of a server that answers with this, again and again."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError):
                while True:
                    await stream.send(piece)
                    await anyio.sleep(0.01)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/"
        tasks.cancel_scope.cancel()
