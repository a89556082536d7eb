"""This machine's own public addresses: services there may count on a firewall that stands before it."""

import logging
import socket
from ipaddress import ip_address

import pytest

from hutch.egress import InForce, Missing, Passage, RefusedError, passage
from hutch.egress.ledger import Ledger
from hutch.egress.passage import Client
from hutch.egress.records import Connection, Refusal
from hutch.egress.resolver import Resolver
from hutch.egress.sockets import is_own
from hutch.egress.tunnel import tunnel
from hutch.egress.ways import serving
from hutch.egress.ways.names import Names
from support.networks import network


async def nowhere(_: str, __: int) -> list[str]:
    return ["127.0.0.1"]


@pytest.mark.parametrize("is_service", [False, True])
async def test_it_is_dialled_for_a_host_service_only(
    is_service: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if it were public
    monkeypatch.setattr(passage, "vetted", lambda *_, **__: (ip_address("127.0.0.1"),))
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        port = server.getsockname()[1]
        where = (f"a.example.org:{port}",)
        force = InForce(network(services=where) if is_service else network(*where))
        rule = force.judge("a.example.org", port)
        assert not isinstance(rule, Missing)
        way = Passage(Client(client), "a.example.org", port, rule, force, Resolver(nowhere))
        if is_service:
            (await way.dial()).close()
            return
        with pytest.raises(RefusedError) as caught:
            await way.dial()
        assert caught.value.why is Refusal.ADDRESS


def test_others_are_not_its_own() -> None:
    assert is_own("127.0.0.1")
    assert is_own("::1")
    assert not is_own("93.184.215.14")


async def test_refusals_without_end_do_not_fill_the_daemons_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "_LINES", 3)
    caplog.set_level(logging.INFO)
    force, kept = InForce(network("a.example.org")), list[Connection]()
    ways = serving.Serving(
        "r-1", force, Names(force, ()), Ledger("r-1", kept.append), Resolver(nowhere), tunnel
    )
    with socket.socket() as client:
        for n in range(10):
            await ways.ask(Client(client), f"{n}.example.net", 443)
    assert len(kept) == 10
    assert len(caplog.records) == 4
    assert "hutch net log" in caplog.messages[-1]
