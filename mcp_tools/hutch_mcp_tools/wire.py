"""What every record on the wire is."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

# Bytes travel as base64 in JSON
BASE64 = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


class Wire(BaseModel):
    """A record on the wire: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def document(record: Wire) -> dict[str, Any]:
    """Return the record as JSON for a model to read: without what says nothing, which is most of it."""
    told = record.model_dump(mode="json")
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        if isinstance(value, Wire):
            told[name] = document(value)
        elif isinstance(value, list) and value and isinstance(value[0], Wire):
            told[name] = [document(each) for each in value]
        elif not isinstance(value, int | float) and value == _default(field):
            del told[name]
    return told


def _default(field: FieldInfo) -> object:
    """What stands there where nothing was said; of a required field what no value is equal to."""
    return field.get_default(call_default_factory=True, validated_data={})
