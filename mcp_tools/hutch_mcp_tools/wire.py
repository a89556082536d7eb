"""What every record on the wire is."""

from typing import Any

from pydantic import BaseModel, ConfigDict

# Bytes travel as base64 in JSON
BASE64 = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


class Wire(BaseModel):
    """A record on the wire: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def document(record: Wire) -> dict[str, Any]:
    """Return the record as JSON for a model to read: without what is as always, which is most of it."""
    return record.model_dump(mode="json", exclude_defaults=True)
