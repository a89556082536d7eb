"""Which API a request speaks, and how that API refuses."""

import json
import re
from enum import StrEnum
from urllib.parse import unquote

_GOOGLE = re.compile(r"(?:/models/([^/]+)|/v1internal):\w+$")
_FREE = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+(/count_tokens|/input_tokens|:countTokens)/?")
# Answered later, or in what is not paid by tokens
_UNSEEN = re.compile(
    r"/batches\b|:batchGenerate|:asyncBatch|:predictLongRunning|/fine_tuning/|/realtime\b|/threads\b"
    r"|/audio/|/images/|/videos\b",
    re.IGNORECASE,
)
_ESCAPES = 3  # around one another, that some server takes away


class Api(StrEnum):
    """A form of requests and answers; who speaks it is another question."""

    MESSAGES = "messages"  # Anthropic
    CHAT = "chat"  # OpenAI's chat completions, and much that is compatible
    RESPONSES = "responses"  # OpenAI
    GOOGLE = "google"


def api_of(path: str) -> Api | None:
    """Return what a request to this path speaks; None: it asks no model, as far as the path tells."""
    if is_free(path):
        return None
    path = _unescaped(path).rstrip("/")
    if path.endswith("/messages"):
        return Api.MESSAGES
    if path.endswith("/responses"):
        return Api.RESPONSES
    if path.endswith("/completions"):
        return Api.CHAT
    return Api.GOOGLE if _GOOGLE.search(path) else None


def is_free(path: str) -> bool:
    """Whether a request to this path only counts what another one would use."""
    return _FREE.fullmatch(path) is not None


def is_unseen(path: str) -> bool:
    """Whether nobody reads in the answer to this path what it used: it comes later, or is no text."""
    return _UNSEEN.search(_unescaped(path)) is not None


def model_in(path: str) -> str:
    """Return the model that a path names, as Google's do; empty: none."""
    found = _GOOGLE.search(path)
    return (found[1] or "") if found else ""


def _unescaped(path: str) -> str:
    """Return a path as the most obliging of servers would read it."""
    for _ in range(_ESCAPES):
        path = unquote(path).replace("\\", "/")
    return path


def refusal(api: Api | None, message: str) -> bytes:
    """Return the body of a refusal with status 400, as clients of this API show it."""
    if api is Api.MESSAGES:
        return json.dumps(
            {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
        ).encode()
    if api is Api.GOOGLE:
        return json.dumps({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}).encode()
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "budget"}
    return json.dumps({"error": error}).encode()
