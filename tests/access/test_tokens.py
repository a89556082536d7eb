"""Tokens of principals: shown once, kept as a hash, and worth nothing once they have ended."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from hutch.access import Access, AccessTokens, Level
from hutch.config import Config, parse
from hutch.errors import HutchError
from hutch.state import State
from hutch.state.store import open_state
from hutch.volumes import VolumeName

PRINCIPALS = '[principals.ci]\nvolumes = {"*" = "ro"}\n[principals.ada]\n'
WEB = VolumeName.parse("web")


def config(text: str = PRINCIPALS) -> Config:
    return parse(text, {"HOME": "/home/someone"})


@pytest.fixture
async def state(tmp_path: Path) -> AsyncGenerator[State]:
    async with open_state(tmp_path / "state.db") as opened:
        yield opened


async def test_a_token_is_its_principals_until_it_is_revoked(state: State) -> None:
    tokens = AccessTokens(config(), state)
    (mine, text), (_, other) = await tokens.create("ci", None), await tokens.create("ada", None)
    assert await tokens.principal_of(text) == "ci"
    assert await tokens.principal_of(other) == "ada"
    revoked = await tokens.revoke(mine.id)
    assert await tokens.principal_of(text) is None
    assert (await tokens.revoke(mine.id)).revoked_at == revoked.revoked_at
    assert await tokens.principal_of(other) == "ada"


async def test_a_token_ends_at_its_time(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = AccessTokens(config(), state)
    made, text = await tokens.create("ci", 60)
    assert await tokens.principal_of(text) == "ci"
    assert made.expires_at is not None
    monkeypatch.setattr("time.time", lambda: made.expires_at)
    assert await tokens.principal_of(text) is None


async def test_a_token_ends_with_its_principal(state: State) -> None:
    _, text = await AccessTokens(config(), state).create("ci", None)
    assert await AccessTokens(config("[principals.ada]\n"), state).principal_of(text) is None
    assert await AccessTokens(config(), state).principal_of(text) == "ci"


async def test_a_forged_token_is_nobodys(state: State) -> None:
    tokens = AccessTokens(config(), state)
    _, text = await tokens.create("ci", None)
    _, other = await tokens.create("ada", None)
    prefix, token_id, secret = text.split("_", 2)
    forged = [
        "",
        text[:-1],
        text + "A",
        text + "\n",
        text.upper(),
        text.replace("hutch_", "HUTCH_"),
        f"{prefix}_{token_id}_" + "A" * 43,
        f"{prefix}_{token_id}_{other.split('_', 2)[2]}",
        f"{prefix}_aaaaaaaaaa_{secret}",
        f"{prefix}_%_{secret}",
        f"{prefix}_{token_id}'--_{secret}",
        f"{prefix}__{secret}",
        "hutch_" + "\udcff" * 10,
        "é" * 64,
        "x" * 1_000_000,
    ]
    assert [one for one in forged if await tokens.principal_of(one) is not None] == []


async def test_only_a_hash_is_kept_and_only_the_owner_may_read_it(state: State, tmp_path: Path) -> None:
    tokens = AccessTokens(config(), state)
    made, text = await tokens.create("ci", None)
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert made.digest in kept
    assert text.split("_", 2)[2].encode() not in kept
    assert text not in repr(await tokens.list())
    assert made.digest.hex() not in repr(made)
    assert (tmp_path / "state.db").stat().st_mode & 0o077 == 0


async def test_only_principals_of_the_configuration_get_one(state: State) -> None:
    tokens = AccessTokens(config(), state)
    for name in ("owner", "nobody", "CI", "", "ci\n"):
        with pytest.raises(HutchError, match="no principal is called") as refused:
            await tokens.create(name, None)
        assert (refused.value.code, refused.value.hint.split(";")[0]) == (
            "principal_unknown",
            "known: ada, ci",
        )
    for valid_s in (0.0, -1.0, 1e12, float("inf"), float("nan")):
        with pytest.raises(HutchError, match="at most ten years"):
            await tokens.create("ci", valid_s)
    assert await tokens.list() == []
    with pytest.raises(HutchError, match="no token has the id"):
        await tokens.revoke("aaaaaaaaaa")


# Shares ------------------------------------------------------------


async def test_a_share_counts_at_once_and_survives_a_restart(state: State) -> None:
    access = Access(config(), state)
    await access.share(WEB, "ada", Level.WRITE)
    await access.share(WEB, "ci", Level.NONE)
    again = Access(config(), state)
    assert (await again.rights("ada")).level(WEB) is Level.WRITE
    assert (await again.rights("ci")).level(WEB) is Level.NONE
    assert [(one.principal, one.level) for one in await again.shares(WEB)] == [
        ("ada", Level.WRITE),
        ("ci", Level.NONE),
    ]
    await again.share(WEB, "ada", Level.READ)
    assert (await access.rights("ada")).level(WEB) is Level.READ
    await again.forget(WEB)
    assert (await access.rights("ada")).level(WEB) is Level.NONE
    assert (await access.rights("ci")).level(WEB) is Level.NONE  # its pattern would let it read
    await again.share(WEB, "ci", Level.OWN)
    await again.forget(WEB)
    assert (await access.rights("ci")).level(WEB) is Level.READ


async def test_who_is_not_configured_may_do_nothing(state: State) -> None:
    await Access(config(), state).share(WEB, "ada", Level.OWN)
    gone = Access(config("[principals.ci]\n"), state)
    assert (await gone.rights("ada")).level(WEB) is Level.NONE
    assert (await gone.rights("")).level(WEB) is Level.NONE
    with pytest.raises(HutchError, match="no principal is called"):
        await gone.share(WEB, "ada", Level.READ)
    with pytest.raises(HutchError, match="no principal is called"):
        await gone.share(WEB, "owner", Level.NONE)
