"""What goes over the wire to Google Cloud Storage under a condition, and how its answers are read.

No server that could stand here in its place honours these conditions, so this is not a store: it answers
what it is told to. That the conditions hold is Google's word until a start-up probe in a real bucket.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from hutch.volumes import ConflictError, NotFoundError, StoreError
from hutch.volumes.stores.cloud import CloudStore, open_google
from hutch.volumes.stores.options import StoreOptions

Answer = tuple[str, dict[str, str], bytes]
MISSING: Answer = ("404 Not Found", {}, b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>")
REFUSED: Answer = ("412 Precondition Failed", {}, b"<Error><Code>PreconditionFailed</Code></Error>")


def stored(data: bytes, generation: int) -> Answer:
    headers = {
        "ETag": f'"{generation}"',
        "x-goog-generation": str(generation),
        "Last-Modified": "Sat, 21 Nov 2026 12:00:00 GMT",
    }
    return ("200 OK", headers, data)


@asynccontextmanager
async def wire(
    monkeypatch: pytest.MonkeyPatch, *answers: Answer
) -> AsyncGenerator[tuple[CloudStore, list[str]]]:
    """A store whose requests get these answers in turn, and the heads of the requests, in lower case."""
    heads: list[str] = []
    left = list(answers)

    async def serve(client: SocketStream) -> None:
        async with client:
            heads.append((await client.receive()).decode("latin-1").lower())
            status, headers, body = left.pop(0)
            lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            await client.send("\r\n".join([*lines, "", ""]).encode() + body)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, serve)
        monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "any")
        url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        yield open_google("bucket", "p", StoreOptions(endpoint_url=url, retry_s=0)), heads
        tasks.cancel_scope.cancel()
    assert left == []


async def test_a_write_if_absent_asks_for_generation_0(monkeypatch: pytest.MonkeyPatch) -> None:
    async with wire(monkeypatch, stored(b"", 7)) as (store, heads):
        assert await store.put("a", b"ours", if_match="absent") == "7"
    assert heads[0].startswith("put /bucket/p%2fa")
    assert "x-goog-if-generation-match: 0\r\n" in heads[0]


async def test_a_write_under_a_tag_asks_for_the_generation_that_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with wire(monkeypatch, stored(b"old", 7), stored(b"", 8)) as (store, heads):
        data, tag = await store.get("a")
        assert (data, tag) == (b"old", "7")
        assert await store.put("a", b"new", if_match=tag) == "8"
    assert "x-goog-if-generation-match: 7\r\n" in heads[1]


async def test_a_refusal_is_a_conflict_unless_our_own_bytes_stand_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with wire(monkeypatch, REFUSED, stored(b"theirs", 9)) as (store, _):
        with pytest.raises(ConflictError):
            await store.put("a", b"ours", if_match="7")
    async with wire(monkeypatch, REFUSED, stored(b"ours", 9)) as (store, _):
        assert await store.put("a", b"ours", if_match="absent") == "9"


async def test_only_a_missing_object_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async with wire(monkeypatch, MISSING) as (store, _):
        with pytest.raises(NotFoundError):
            await store.get("a")
    answers: dict[str, Answer] = {
        "store_bucket_missing": ("404 Not Found", {}, b"<Error><Code>NoSuchBucket</Code></Error>"),
        "store_unavailable": ("404 Not Found", {}, b"<html>not the API at all</html>"),
        "store_credentials": ("401 Unauthorized", {}, b"<Error><Code>AuthenticationRequired</Code></Error>"),
        "store_forbidden": ("403 Forbidden", {}, b"<Error><Code>AccessDenied</Code></Error>"),
    }
    for code, answer in answers.items():
        async with wire(monkeypatch, answer) as (store, _):
            with pytest.raises(StoreError) as caught:
                await store.get("a")
        assert caught.value.code == code
