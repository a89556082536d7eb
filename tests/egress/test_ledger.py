"""A run that connects without end fills neither memory nor the disk."""

from dataclasses import replace
from datetime import UTC, datetime

from hutch.egress import Connection, Refusal
from hutch.egress.ledger import KINDS, OTHERS, SINGLY, TOLD, Ledger

AT = datetime(2026, 1, 2, tzinfo=UTC)
REFUSED = Connection("r", "", 443, None, AT, 0.0, 0, 0, Refusal.RULE, rule="x", told="ask")


def test_names_without_end_are_summed_together_and_those_that_were_known_by_themselves() -> None:
    log: list[Connection] = []
    ledger = Ledger("r", log.append)
    for number in range(SINGLY + KINDS):
        ledger.add(replace(REFUSED, host=f"{number}.example.org"))
    ledger.flush()
    log.clear()
    for number in range(5000):
        ledger.add(replace(REFUSED, host=f"other-{number}.example.org"))
    ledger.add(replace(REFUSED, host=f"{SINGLY}.example.org"))
    ledger.flush()
    others, known = log
    assert (others.host, others.count, others.rule, others.told) == (OTHERS, 5000, "", Refusal.RULE.told)
    assert (known.host, known.count) == (f"{SINGLY}.example.org", 1)


def test_what_a_refusal_says_is_bounded() -> None:
    log: list[Connection] = []
    Ledger("r", log.append).add(replace(REFUSED, told="an illegal header: " + "x" * 240_000))
    assert log[0].told.startswith("an illegal header: ")
    assert len(log[0].told) <= TOLD + 1
