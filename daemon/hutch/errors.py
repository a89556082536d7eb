"""Errors that a person or an agent is meant to read; every code stands in docs/errors.md."""


class HutchError(Exception):
    """A refusal or failure with a stable code, what happened to which thing, and what to do about it."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
