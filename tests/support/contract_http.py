"""Requests to a daemon as they come over HTTP, with any header and any body."""

import httpx2

from support.contract_column import Column


async def post(made: Column, path: str = "/api/list_runs", *, body: bytes = b"{}", **headers: str) -> int:
    async with httpx2.AsyncClient(base_url=made.daemon.url, timeout=60) as http:
        given = {"Content-Type": "application/json", **{n.replace("_", "-"): v for n, v in headers.items()}}
        return (await http.post(path, content=body, headers=given)).status_code


def bearer(made: Column) -> str:
    return f"Bearer {made.daemon.token}"
