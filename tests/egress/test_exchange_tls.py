"""Who proves what to whom in an exchange: the server to us, the run's own authority to its clients."""

import ssl
from contextlib import suppress

import anyio
import pytest
from anyio.streams.tls import TLSAttribute

from hutch.egress.exchange import UnreachedError
from hutch.egress.exchange.authority import Authority
from support.exchange_steps import Looking
from support.exchange_world import HOST, Server, world

GET = b"GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"


async def test_a_server_that_cannot_prove_its_name_is_not_asked() -> None:
    server = Server()
    with pytest.raises(BaseExceptionGroup) as raised:
        async with world(server, [Looking()], trusted=False) as here:
            assert b"did not prove who it is" in await here.ask(GET)
    assert raised.group_contains(UnreachedError)
    assert not server.seen


async def test_only_http_1_is_offered_and_only_for_the_judged_name() -> None:
    async with world(Server(), [Looking(), Looking(["*.example.org"])]) as here:
        async with here.dial(alpn=["h2", "http/1.1"]) as client:
            assert client.extra(TLSAttribute.alpn_protocol) == "http/1.1"
        with pytest.raises((ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream)):
            async with here.dial("a.example.org"):
                pytest.fail("another name than the judged one was served")
    assert here.exchanges.reads("a.example.org", 443)
    assert not here.exchanges.reads("a.example.org", 80)
    assert not here.exchanges.reads("example.org", 443)


async def test_clients_take_the_authority_for_its_own_hosts_alone() -> None:
    authority = Authority("r-test", [HOST, "example.org"])
    trust = ssl.create_default_context(cadata=authority.certificate.decode())
    for host in (HOST, "a.example.org"):
        shake_hands(authority, trust, host)
    for host in ("example.com", "127.0.0.1", "notlocalhost", "notexample.org"):
        with pytest.raises(ssl.SSLCertVerificationError, match="subtree"):
            shake_hands(authority, trust, host)


def shake_hands(authority: Authority, trust: ssl.SSLContext, host: str) -> None:
    """What a client of `host` says to what the authority answers in its name."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trust.wrap_bio(to_client, to_server, server_hostname=host)
    server = authority.context(host).wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
