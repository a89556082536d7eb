import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hutch.errors import HutchError
from hutch.web.guard import Guard, caller, knowing_owner

TOKEN = "t" * 43


def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse(caller(request.scope) if request.url.path == "/mcp" else "in")


async def principal_of(token: str) -> str | None:
    if token == "broken":
        raise HutchError("state_failed", "the state database could not be used")
    return "ci" if token == "ci's own" else None


APP = Guard(
    Starlette(routes=[Route("/mcp", answer, methods=["GET", "POST"]), Route("/health", answer)]),
    knowing_owner(TOKEN, principal_of),
    hosts=["hutch.example.org"],
    origins=["https://page.example.org"],
)


async def status(path: str = "/mcp", host: str = "127.0.0.1:8750", **headers: str) -> int:
    transport = httpx2.ASGITransport(APP)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as http:
        given = {"Host": host, "Authorization": f"Bearer {TOKEN}", **headers}
        answered = (
            await http.post(path, headers=given) if path == "/mcp" else await http.get(path, headers=given)
        )
        return answered.status_code


async def test_the_owner_with_the_token_comes_in() -> None:
    assert await status() == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8750", "hutch.example.org:443", "hutch"]
)
async def test_our_own_names_are_taken_with_any_port(host: str) -> None:
    assert await status(host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "",
        "localhost:1:2",
        "127.0.0.2",
        "[::2]",
        "2130706433",
        "localhost.",
    ],
)
async def test_a_foreign_host_is_refused_before_the_token_is_looked_at(host: str) -> None:
    assert await status(host=host) == 421


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "https://localhost",
        "http://localhost.evil.example",
        "file://",
        "",
        "http://",
    ],
)
async def test_a_foreign_origin_is_refused(origin: str) -> None:
    assert await status(Origin=origin) == 403


@pytest.mark.parametrize(
    "origin", ["http://localhost:8750", "http://127.0.0.1:3", "https://page.example.org"]
)
async def test_our_own_origins_are_taken(origin: str) -> None:
    assert await status(Origin=origin) == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN} x",
    ],
)
async def test_no_token_or_a_wrong_one_is_refused(authorization: str) -> None:
    assert await status(Authorization=authorization) == 401


async def test_health_needs_no_token_but_one_of_our_names() -> None:
    assert await status("/health", Authorization="") == 200
    assert await status("/health", host="evil.example", Authorization="") == 421


async def test_a_page_cannot_learn_by_a_missing_route_that_there_is_none() -> None:
    assert await status("/nothing", Authorization="") == 401


# Who it is ------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (TOKEN, (200, "owner")),
        ("ci's own", (200, "ci")),
        ("ci's", (401, "token_missing")),
        ("owner", (401, "token_missing")),
        ("broken", (503, "state_failed")),
    ],
)
async def test_a_request_is_told_whose_it_is_or_is_refused(token: str, told: tuple[int, str]) -> None:
    transport = httpx2.ASGITransport(APP)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        headers = {"Authorization": f"Bearer {token}", "X-Hutch-Principal": "owner"}
        answered = await http.post("/mcp", headers=headers)
    assert answered.status_code == told[0]
    assert told[1] in answered.text


async def test_two_tokens_are_none() -> None:
    transport = httpx2.ASGITransport(APP)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        both = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer ci's own")]
        assert (await http.post("/mcp", headers=both)).status_code == 401
