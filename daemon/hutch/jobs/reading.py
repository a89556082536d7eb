"""Reads a job's text strictly; an error names the place in it, and the key that was likely meant."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from hutch.config.reader import meant
from hutch.errors import HutchError
from hutch.jobs.document import VERSION, Job

MAX_BYTES = 32 << 20  # the input of a command and the skills of an agent stand in it
_HINT = "docs/jobs.md lists every key"


def read_job(data: bytes, source: str) -> Job:
    """Read a job; `source` names it in errors. Raises HutchError `job_invalid`, `job_unsupported`."""
    if len(data) > MAX_BYTES:
        raise _invalid(source, f"is over {MAX_BYTES >> 20} MiB", "put what it works on into a volume")
    try:
        document = json.loads(data, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # ValueError: also what is no UTF-8
        raise _invalid(source, f"is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise _invalid(source, "must be an object")
    version = document.get("version")
    if isinstance(version, bool):  # which Python takes for 1
        raise _invalid(source, "version: must be a number")
    if isinstance(version, int) and version != VERSION:
        raise HutchError(
            "job_unsupported",
            f"{source}: version {version}; this Hutch reads version {VERSION}",
            "use the Hutch that it was written for, or write it anew: docs/jobs.md",
        )
    try:
        return Job.model_validate_json(data, strict=True)
    except ValidationError as error:
        told_of = error.errors(include_url=False, include_input=False)
        # A key that is missing was often only misspelt
        first = min(told_of, key=lambda each: each["type"] != "extra_forbidden")
        where = _place(first["loc"])
        if first["type"] == "extra_forbidden":
            known = _keys_at(first["loc"][:-1])
            raise _invalid(source, f"{where} is not a key", meant(str(first["loc"][-1]), known)) from None
        told = first["msg"].removeprefix("Value error, ")
        raise _invalid(source, f"{where}: {told}" if where else told) from None


def _invalid(source: str, what: str, hint: str = "") -> HutchError:
    return HutchError("job_invalid", f"{source}: {what}", " ".join(filter(None, (hint, _HINT))))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands there twice: what reads the same document elsewhere may take the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"{counts.most_common(1)[0][0][:200]!r} stands there twice")
    return found


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _place(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _keys_at(location: tuple[int | str, ...]) -> Mapping[str, object]:
    """The keys of the record at a place; those of the job itself where that is not known."""
    record: type[BaseModel] = Job
    for part in location:
        field = record.model_fields.get(str(part))
        inner = [
            each
            for each in (get_args(field.annotation) if field else ())
            if isinstance(each, type) and issubclass(each, BaseModel)
        ]
        if not inner:
            return {}
        record = inner[0]
    return record.model_fields
