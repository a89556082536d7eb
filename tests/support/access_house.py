"""A daemon with an owner and two principals, of whom each may do something else; and what tests ask them."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx2
import pytest

from hutch.client import Client, connect
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import (
    WriteVolumeRequest,
)
from support.daemon import Daemon, daemon, run

CONFIG = """
[principals.ci]
volumes = {"team-*" = "rw", "web" = "owner", "pub-*" = "ro", "*-keys" = "none"}
[principals.eve]
volumes = {"eve-*" = "rw", "pub-*" = "ro"}
"""
Era = Literal["auto", "legacy"]
HIDDEN, ABSENT = "web", "wob"  # the first is there, and eve may not know


@dataclass(frozen=True, slots=True)
class House:
    """A daemon, its owner, and a client for each principal."""

    daemon: Daemon
    owner: Client
    ci: Client
    eve: Client
    tokens: dict[str, str]


@asynccontextmanager
async def open_house(folder: Path) -> AsyncGenerator[House]:
    async with daemon(folder, CONFIG) as made, made.client() as owner:
        tokens = {name: (await owner.create_token(name)).token or "" for name in ("ci", "eve")}
        for volume in (HIDDEN, "pub-docs", "team-a", "eve-a", "their-keys"):
            await write(owner, volume)
        as_ci, as_eve = (connect(made.config, token=tokens[name]) for name in ("ci", "eve"))
        async with as_ci as ci, as_eve as eve:
            yield House(made, owner, ci, eve, tokens)


async def write(service: Client, volume: str, mode: str = "overwrite") -> None:
    values = {"volume": volume, "path": "/file", "content_base64": "eA==", "mode": mode}
    await service.write_volume(WriteVolumeRequest.model_validate(values))


async def refusal(work: Awaitable[object]) -> tuple[str, str, str]:
    with pytest.raises(ServiceError) as refused:
        await work
    return refused.value.code, refused.value.message, refused.value.hint


async def code_of(work: Awaitable[object]) -> str:
    return (await refusal(work))[0]


async def kept(service: Client, volume: str) -> str:
    """Open a kept sandbox with a volume; return its session's id."""
    opened = await run(service, "true", session_id="new", volumes=[volume])
    assert opened.session_id is not None
    return opened.session_id


async def post(house: House, path: str, token: str, body: object = None, **headers: str) -> httpx2.Response:
    given = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream", **headers}
    async with httpx2.AsyncClient(base_url=house.daemon.url, trust_env=False, timeout=100) as http:
        return await http.post(path, json={} if body is None else body, headers=given)
