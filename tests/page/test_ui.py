"""`hutch ui`: who gets a link, and what of it others on the host see."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from hutch.cli import main
from hutch.cli.invocation import Invocation
from hutch.cli.ui import link
from hutch.web.guard import Guard
from hutch.web.page.routes import page
from hutch_mcp_tools.service import SandboxService
from support.daemon import Daemon, daemon

Captured = pytest.CaptureFixture[str]
TOLD = {"host": "hutch-0a1b2c3d.localhost", "path": "/sign-in?key=k"}


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Daemon]:
    async with daemon(tmp_path_factory.mktemp("house")) as made:
        yield made


async def hutch(house: Daemon, *words: str, **env: str) -> int:
    given = {"HOME": str(house.folder), "HUTCH_CONFIG": str(house.folder / "config.toml"), **env}
    return await anyio.to_thread.run_sync(main, words, Invocation(env=given))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8750", "http://hutch-0a1b2c3d.localhost:8750/sign-in?key=k"),
        ("http://[::1]:8750", "http://hutch-0a1b2c3d.localhost:8750/sign-in?key=k"),
        ("http://192.0.2.7:8750", "http://192.0.2.7:8750/sign-in?key=k"),  # others reach it by its address
    ],
)
def test_the_link_has_the_pages_own_name_where_that_leads_to_the_daemon(url: str, expected: str) -> None:
    assert link(url, TOLD) == expected


@pytest.mark.slow
async def test_without_a_desktop_the_link_is_printed(house: Daemon, capfd: Captured) -> None:
    assert await hutch(house, "ui") == 0
    shown = capfd.readouterr()
    assert ".localhost:" in shown.out
    assert "/sign-in?key=" in shown.out
    assert "it works once, within 2 min" in shown.err
    assert await hutch(house, "ui", "--json", DISPLAY=":0") == 0
    assert json.loads(capfd.readouterr().out)["valid_s"] == 120
    assert await hutch(house, "ui", "--token-env", "NONE") == 2
    assert await hutch(house, "ui", "--print", "--token-env", "BAD", BAD="hutch_none") == 1
    assert "token_missing" in capfd.readouterr().err


@pytest.mark.slow
async def test_a_browsers_command_line_does_not_tell_the_link(
    house: Daemon, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    opened: list[str] = []

    def open_(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr("webbrowser.open", open_)
    assert await hutch(house, "ui", DISPLAY=":0") == 0
    assert "sign-in" not in capfd.readouterr().out
    (url,) = opened
    file = Path(url.removeprefix("file://"))
    assert file.stat().st_mode & 0o777 == 0o600
    assert "/sign-in?key=" in file.read_text()


async def test_an_agent_in_a_sandbox_gets_no_link() -> None:
    async def whose(token: str) -> str | None:
        return "owner" if token == "owners" else None

    async def caller_of(token: str) -> str | None:
        return "an agent" if token == "agents" else await whose(token)

    services: dict[str, SandboxService] = {}
    pages = page(services.__getitem__, {}, whose, anyio.Event())
    app = Guard(
        Starlette(routes=[Route("/api/sign_in", pages.offer, methods=["POST"])]), caller_of, page=pages
    )
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answers = [
            await http.post("/api/sign_in", headers={"Authorization": f"Bearer {token}"})
            for token in ("owners", "agents", "nobodys")
        ]
    assert [answer.status_code for answer in answers] == [200, 403, 401]
