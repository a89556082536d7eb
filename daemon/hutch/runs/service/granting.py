"""The part of the service that is about others: what is shared with them, and their tokens."""

from hutch.access import AccessTokens, Level
from hutch.errors import HutchError
from hutch.runs.gate.answers import answers
from hutch.runs.rooms import Rooms
from hutch.runs.service.wire import secret_check, share_record, token_record
from hutch.secrets import check, hold, read_value
from hutch.volumes import VolumeName
from hutch_mcp_tools.access_records import AccessLevel, SecretCheck, ShareRecord, TokenRecord


class Granting:
    """The gate has checked who asks."""

    def __init__(self, rooms: Rooms, principal: str) -> None:
        self._rooms = rooms
        self._principal = principal
        self._tokens = AccessTokens(rooms.config, rooms.state)

    @answers
    async def share_volume(self, volume: str, principal: str, level: AccessLevel) -> list[ShareRecord]:
        name = self._rooms.volume(volume)
        await self._rooms.volumes.info(name)  # there is such a volume
        await self._rooms.access.share(name, principal, Level.of(level), by=self._principal)
        return await self._shares(name)

    @answers
    async def volume_shares(self, volume: str) -> list[ShareRecord]:
        name = self._rooms.volume(volume)
        await self._rooms.volumes.info(name)
        return await self._shares(name)

    @answers
    async def check_secret(self, secret: str, path: str | None = None) -> SecretCheck:
        config = self._rooms.config
        found = config.secrets.get(secret)
        if found is None:
            known = ", ".join(sorted(config.secrets))
            raise HutchError("secret_unknown", f"no secret is called {secret!r}", f"known: {known}")
        held = hold(secret, found, await read_value(secret, found))
        near = [pattern for network in config.networks.values() for pattern in network.host_services]
        is_near = any(pattern.includes(origin.pattern) for pattern in near for origin in found.hosts)
        checked = await check(held, path or found.check, is_near=is_near)
        return secret_check(checked)

    @answers
    async def create_token(self, principal: str, valid_s: float | None = None) -> TokenRecord:
        token, text = await self._tokens.create(principal, valid_s)
        return token_record(token, text)

    @answers
    async def list_tokens(self) -> list[TokenRecord]:
        return [token_record(token) for token in await self._tokens.list()]

    @answers
    async def revoke_token(self, token_id: str) -> TokenRecord:
        return token_record(await self._tokens.revoke(token_id))

    async def _shares(self, name: VolumeName) -> list[ShareRecord]:
        return [share_record(share) for share in await self._rooms.access.shares(name)]
