"""A result in a given form: whatever an agent says, Hutch holds it against the schema itself."""

import json
from typing import Any

import pytest

from hutch.agents import Ending, Outcome, Usage
from hutch.agents.given import schema_instructions
from hutch.agents.results import check_schema, judge_result
from hutch.errors import HutchError

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"sum": {"type": "integer"}},
    "required": ["sum"],
    "additionalProperties": False,
}


def done(text: str = "", result: object = None) -> Outcome:
    return Outcome(Ending.DONE, text, "id", "m", Usage(), result=result)


@pytest.mark.parametrize(
    "text", ['{"sum": 3}', ' {"sum": 3}\n', '```json\n{"sum": 3}\n```', '```\n{"sum":3}```']
)
def test_the_last_message_is_the_result_where_the_agent_gives_none(text: str) -> None:
    outcome = judge_result(done(text), SCHEMA)
    assert (outcome.ending, outcome.result, outcome.error) == (Ending.DONE, {"sum": 3}, "")


def test_a_result_of_the_agent_s_own_goes_before_its_last_message() -> None:
    assert judge_result(done("Here you are.", {"sum": 4}), SCHEMA).result == {"sum": 4}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("It is three.", "it is no JSON"),
        ("", "it is no JSON"),
        ('{"sum": "3"}', "$.sum: '3' is not of type 'integer'"),
        ("{}", "'sum' is a required property"),
        ('{"sum": NaN}', "it is no JSON"),
        ("[" * 5000, "it is no JSON"),
        (json.dumps({"sum": "x" * 300_000}), "longer than"),
        (f'{{"sum": {"[" * 64 + "]" * 64}}}', "nested more than 64 deep"),
    ],
)
def test_what_does_not_conform_is_no_result(text: str, told: str) -> None:
    outcome = judge_result(done(text), SCHEMA)
    assert (outcome.ending, outcome.result, outcome.ok) == (Ending.RESULT_INVALID, None, False)
    assert told in outcome.error
    assert len(outcome.error) < 600


def test_half_a_character_becomes_a_whole_one() -> None:
    assert judge_result(done('["\\ud800"]'), {}).result == ["?"]


@pytest.mark.parametrize("reference", ["http://127.0.0.1:9/schema.json", "file:///etc/passwd"])
def test_a_reference_to_another_document_is_not_followed(reference: str) -> None:
    outcome = judge_result(done("{}"), {"$ref": reference})
    assert (outcome.ending, reference in outcome.error) == (Ending.RESULT_INVALID, True)


def test_a_schema_that_refers_to_itself_without_end_is_no_end_of_ours() -> None:
    assert judge_result(done("{}"), {"$ref": "#"}).ending is Ending.RESULT_INVALID


@pytest.mark.parametrize(
    "schema",
    [{"type": "heron"}, {"properties": 3}, {"description": "x" * 70_000}, {"pattern": "a{99999999999}"}],
    ids=["word", "form", "long", "number"],
)
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(HutchError) as refused:
        check_schema(schema)
    assert refused.value.code == "turn_invalid"


def test_a_schema_is_told_in_words_to_an_agent_that_knows_none() -> None:
    check_schema(SCHEMA)
    assert json.dumps(SCHEMA) in schema_instructions(SCHEMA)
