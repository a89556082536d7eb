"""Errors that a person or an agent is meant to read; every code stands in docs/errors.md."""

from collections.abc import Generator
from contextlib import contextmanager


class HutchError(Exception):
    """A refusal or failure with a stable code, what happened to which thing, and what to do about it."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


@contextmanager
def unwrapped() -> Generator[None]:
    """Around a task group: what its body or one of its tasks raised comes out as itself, not in a group.

    Of several errors the first that a person is meant to read wins, else the first.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
        raise next((e for e in errors if isinstance(e, HutchError)), errors[0]) from group


def _leaves(group: BaseExceptionGroup[BaseException]) -> Generator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
