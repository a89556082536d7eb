"""How a run's connections are carried: read where a step of the run asks for it, blindly everywhere else."""

import logging
import socket
import traceback
from contextlib import suppress

from anyio import move_on_after

from hutch.destinations import TLS_PORT
from hutch.egress.exchange import Exchanges, UnreachedError
from hutch.egress.passage import Carry, Passage, RefusedError
from hutch.egress.records import Refusal
from hutch.egress.sockets import receive
from hutch.egress.tunnel import tunnel

FIRST_S = 60.0  # for a client to say anything; some connect ahead of time
_HANDSHAKE = b"\x16"

_log = logging.getLogger(__name__)


class _UndialledError(UnreachedError):
    def __init__(self, why: Refusal) -> None:
        super().__init__(why.told)
        self.why = why


def carrying(exchanges: Exchanges) -> Carry:
    """Return what carries a passage of the run that `exchanges` belong to."""

    async def carry(passage: Passage) -> None:
        if exchanges.reads(passage.host, passage.port):
            await _read(passage, exchanges)
        elif passage.network.is_unread(passage.host, passage.port):
            raise RefusedError(Refusal.UNREAD)
        else:
            await tunnel(passage)

    return carry


async def _read(passage: Passage, exchanges: Exchanges) -> None:
    async def dial() -> socket.socket:
        try:
            return await passage.dial()
        except RefusedError as error:
            raise _UndialledError(error.why) from None

    first = await _first(passage)
    if not first:
        return
    is_public = passage.port == TLS_PORT and not passage.rule.is_host_service
    if is_public and not first.startswith(_HANDSHAKE):
        raise RefusedError(Refusal.SERVER_NAME)
    where = passage.host, passage.port
    try:
        await exchanges.serve(passage.client.sock, first, where, dial, passage)
    except _UndialledError as error:  # the client was told in HTTP
        passage.refused = error.why
    except Exception as error:  # noqa: BLE001 - a mistake ends this connection and not the run's other ones
        # Not what it says: that could be a header's value, with a secret in it
        frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        _log.error("an exchange with %s failed: %r at %s", passage.host, _kinds(error), frames[-1])


def _kinds(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [kind for each in error.exceptions for kind in _kinds(each)]
    return [type(error).__name__]


async def _first(passage: Passage) -> bytes:
    """Return the client's first bytes; empty: there were none."""
    with suppress(OSError), move_on_after(FIRST_S):
        if passage.client.waits:
            await passage.client.opened()
        return passage.client.first or await receive(passage.client.sock)
    return b""
