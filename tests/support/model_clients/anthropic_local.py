"""A client of a model in the form of the vendor's own, as small as a script's test needs it."""

import json
import os
from typing import Any
from urllib.request import Request, urlopen


class Message:
    """What was answered; as with the vendor's, it is no dictionary."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        assert mode == "json"
        return self.told


class Messages:
    def create(self, **body: object) -> Message:
        url = f"{os.environ['ANTHROPIC_BASE_URL']}/v1/messages"
        with urlopen(Request(url, json.dumps(body).encode())) as answer:
            return Message(json.load(answer))


class Anthropic:
    def __init__(self) -> None:
        self.messages = Messages()
