"""A sandbox's door to the daemon, beside its job: the next daemon opens it for the same caller, no wider."""

import json
from dataclasses import dataclass, field, replace
from functools import cache

from pydantic import TypeAdapter, ValidationError

from hutch.config.http_rules import HttpRule
from hutch.destinations import Pattern
from hutch.errors import HutchError
from hutch.jobs.folder import JobFolder
from hutch.policy import Plan


@dataclass(frozen=True, slots=True)
class JobDoor:
    """By which token its sandbox is known, and what bounds whatever comes by it."""

    token: str = field(repr=False)
    plan: Plan  # as it was granted before the agent began, and as its owner has changed it since

    def write(self, folder: JobFolder) -> None:
        """Raises OSError."""
        network = self.plan.network
        plan = replace(self.plan, network=replace(network, max_bytes={}, http={}, known={}))
        written = _Written(self.token, plan, tuple(network.max_bytes.items()), tuple(network.http.items()))
        folder.note_door(_form().dump_json(written))

    @staticmethod
    def read(folder: JobFolder) -> "JobDoor | None":
        """Return that of a job, if it has one. Raises HutchError `job_invalid`."""
        data = folder.door
        if data is None:
            return None
        try:
            written = _form().validate_json(data)
        except ValidationError as error:
            why = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise HutchError(
                "job_invalid", f"{folder.path}/door: {why}", "its next turn has another"
            ) from None
        plan = written.plan
        network = replace(plan.network, max_bytes=dict(written.max_bytes), http=dict(written.http))
        return JobDoor(written.token, replace(plan, network=network))

    @staticmethod
    def token_of(folder: JobFolder) -> str:
        """Return by which token a job's sandbox is known; empty: it has no door."""
        return str(json.loads(folder.door or b'{"token": ""}')["token"])


@dataclass(frozen=True, slots=True)
class _Written:
    """What is a key in the plan has more than one word, which JSON has no keys of."""

    token: str = field(repr=False)
    plan: Plan
    max_bytes: tuple[tuple[Pattern, int], ...]
    http: tuple[tuple[Pattern, tuple[HttpRule, ...]], ...]


@cache
def _form() -> TypeAdapter[_Written]:
    return TypeAdapter(_Written)  # takes a moment, and few runs have a door
