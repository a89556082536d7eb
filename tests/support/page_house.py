"""A browser's requests to a daemon's page, without a browser: its cookies, its Host, its Origin."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from hutch.client import connect
from support.daemon import Daemon


@dataclass(frozen=True, slots=True)
class Visitor:
    """Someone with or without a cookie, who comes by the page's own name."""

    http: httpx2.AsyncClient
    host: str
    told: dict[str, Any]

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.http.get(path, headers={"Host": self.host, **headers})

    async def post(self, path: str, **headers: str) -> httpx2.Response:
        return await self.http.post(path, headers={"Host": self.host, **headers})

    async def sign_in(self) -> httpx2.Response:
        """Follow the link."""
        return await self.get(self.told["path"])


@asynccontextmanager
async def visitor(house: Daemon, token: str | None = None) -> AsyncGenerator[Visitor]:
    """Someone who has a link of the owner's, or of whoever `token` is of, and has not followed it."""
    async with connect(house.config, token=token) as client:
        told = await client.sign_in()
    async with httpx2.AsyncClient(base_url=house.url, trust_env=False, timeout=100) as http:
        yield Visitor(http, f"{told['host']}:{http.base_url.port}", told)
