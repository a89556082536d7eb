"""The name server inside, before hostile questions."""

import dns.message

from hutch.egress import InForce
from hutch.egress.ways.dns import NameServer
from hutch.egress.ways.names import Names
from support.networks import network


def test_questions_beyond_what_an_answer_holds_are_not_answered_and_break_nothing() -> None:
    refused: list[str] = []
    server = NameServer(Names(InForce(network("*.example.org")), ()), refused.append)
    asked = dns.message.make_query("a.example.org", "A")
    assert server.answer(asked.to_wire())
    for n in range(300):
        asked.question += dns.message.make_query(f"{n}{'x' * 50}.org", "A").question
    assert server.answer(asked.to_wire()) is None
    assert refused == []
