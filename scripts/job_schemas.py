"""Writes docs/job.schema.json and docs/job-events.schema.json: the forms of a job and of its events."""

import json
from pathlib import Path
from typing import Any

from hutch.jobs import EVENT, Job

DOCS = Path(__file__).resolve().parents[1] / "docs"


def schemas() -> dict[str, str]:
    """Each file's text, by its name."""
    job: dict[str, Any] = Job.model_json_schema()
    events = EVENT.json_schema(mode="serialization") | {"title": "A line of what a job of Hutch tells"}
    return {
        f"{name}.schema.json": json.dumps({"$schema": _DIALECT, **schema}, indent=1, ensure_ascii=False)
        + "\n"
        for name, schema in (("job", job), ("job-events", events))
    }


_DIALECT = "https://json-schema.org/draft/2020-12/schema"

if __name__ == "__main__":
    for name, text in schemas().items():
        (DOCS / name).write_text(text, encoding="utf-8")
