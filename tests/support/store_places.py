"""A store that several processes share, as a word that can be handed to them."""

import json
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from hutch.volumes import DirectoryStore, ObjectStore
from support.azurite import AzureServer
from support.ceph import S3Server
from support.stores import azure_store, s3_store

SHARED = ("directory", "s3", "azure")


def shared_place(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """A fresh one of a kind. `request` is the fixture's or test's: by it a server is started when needed."""
    if kind == "directory":
        return str(folder / "store")
    server = request.getfixturevalue(f"{kind}_server")
    return json.dumps({"kind": kind, "prefix": f"test/{secrets.token_hex(8)}", "server": asdict(server)})


@asynccontextmanager
async def store_at(place: str) -> AsyncGenerator[ObjectStore]:
    """The store, in any process."""
    if not place.startswith("{"):
        yield DirectoryStore(Path(place))
        return
    told = json.loads(place)
    if told["kind"] == "s3":
        async with s3_store(S3Server(**told["server"]), prefix=told["prefix"]) as store:
            yield store
    else:
        yield azure_store(AzureServer(**told["server"]), prefix=told["prefix"])
