"""A turn's result in the form that was asked for: whether it has it.

The schema is a caller's and the result is the sandbox's: together they can take for ever (a pattern that
backtracks, references that double), so `judge_result` belongs into a process that may be killed.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from hutch.agents.adapter import invalid
from hutch.agents.events import Ending, Outcome
from hutch.agents.lines import json_of, text_of

_SCHEMA_BYTES = 64 << 10
_RESULT = 256_000  # characters
_TOLD = 500  # characters of what is wrong


def check_schema(schema: Mapping[str, object]) -> None:
    """Raise HutchError `turn_invalid` for what is no JSON Schema, or a very large one."""
    if len(json.dumps(schema)) > _SCHEMA_BYTES:
        raise invalid("an output schema over 64 KiB", "describe the result in less")
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError, OverflowError) as error:  # OverflowError: of a pattern's numbers
        deep = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        said = error.message if isinstance(error, SchemaError) else deep
        raise invalid(
            f"output schema ({text_of(said, _TOLD)})", 'it is a JSON Schema, as in {"type": "object"}'
        ) from error


def judge_result(outcome: Outcome, schema: Mapping[str, object]) -> Outcome:
    """Return the outcome of a turn that ended well, with its result or what is wrong with it.

    An agent that gave no result of its own has it in its last message.
    """
    try:
        said = _parsed(outcome.text) if outcome.result is None else outcome.result
        result = json_of(said, _RESULT)
        wrong = _wrong(result, schema)
    except (ValueError, RecursionError) as error:
        result, wrong = None, f"it is no JSON: {error}"
    if not wrong:
        return replace(outcome, result=result)
    told = f"the result has not the form that was asked for: {text_of(wrong, _TOLD)}"
    return replace(outcome, ending=Ending.RESULT_INVALID, result=None, error=told)


def _parsed(text: str) -> object:
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```"):
        bare = bare[3:-3].removeprefix("json")
    return json.loads(bare)


def _wrong(result: object, schema: Mapping[str, object]) -> str:
    # An empty registry: a reference elsewhere is refused, never fetched
    validator = Draft202012Validator(schema, registry=Registry())
    try:
        validator.validate(result)
    except ValidationError as error:
        return f"{error.json_path}: {error.message}"
    except Unresolvable as error:
        return f"the schema refers to {error.ref!r}, which is not in it"
    except RecursionError:
        return "the schema refers to itself without end"
    except OverflowError:
        return "it holds a number that is too large for the schema"
    return ""
