"""The gate before the service: every call of every principal passes it; one that it does not know fails.

A rule stands here for each method of `SandboxService`. What a run mounts is decided where its plan is made
(`hutch.policy.decide`), and whose a run or session is where it is looked up; both deny by default too.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, cast

import anyio

from hutch.access import Access, Level, Rights
from hutch.config import OWNER
from hutch.errors import HutchError
from hutch.runs.gate.telling import told
from hutch_mcp_tools.answer_bounds import MAX_WAIT_S
from hutch_mcp_tools.service import SandboxService, ServiceError


@dataclass(frozen=True, slots=True)
class Needs:
    """A right to the volume that an argument names, if it does: "volume", or a field, "request.volume"."""

    level: Level
    argument: str = "volume"


@dataclass(frozen=True, slots=True)
class Own:
    """Runs and sessions: of another principal there is nothing to be found."""


@dataclass(frozen=True, slots=True)
class Mounts:
    """Starts something: the plan refuses what this principal may not mount."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Answers with records of volumes, each of which is told to those who may read it (`telling.told`)."""


@dataclass(frozen=True, slots=True)
class Forgets:
    """Takes a volume away, and so all that was granted by its shares: another of its name begins without."""


@dataclass(frozen=True, slots=True)
class OwnersOnly:
    """For the owner principal alone."""


Rule = Needs | Own | Mounts | Listed | Forgets | OwnersOnly

RULES: Mapping[str, tuple[Rule, ...]] = {
    "run": (Mounts(), Own()),
    "get_run": (Own(),),
    "list_runs": (Own(),),
    "read_log": (Own(),),
    "stop_run": (Own(),),
    "suspend_run": (Own(),),
    "suspend_session": (Own(),),
    "start_agent": (Mounts(), Own()),
    "send_to_agent": (Mounts(), Own()),
    "get_session": (Own(),),
    "list_sessions": (Own(),),
    "stop_session": (Own(),),
    "start_forks": (Mounts(), Own()),
    "get_group": (Own(),),
    "list_groups": (Own(),),
    "stop_group": (Own(),),
    "suspend_group": (Own(),),
    "compare_attempts": (Own(),),
    "diff_attempts": (Own(),),
    "keep_attempt": (Own(), Needs(Level.WRITE, "to")),
    "discard_group": (Own(),),
    "list_reviews": (Own(),),
    "get_changes": (Own(),),
    "apply_changes": (Own(),),
    "discard_changes": (Own(),),
    "read_volume": (Needs(Level.READ, "request.volume"),),
    "write_volume": (Needs(Level.WRITE, "request.volume"),),
    "export_volume": (Needs(Level.READ, "request.volume"),),
    "import_volume": (Needs(Level.WRITE, "request.volume"),),
    "list_volumes": (Listed(),),
    "volume_stat": (Needs(Level.READ),),
    "volume_log": (Needs(Level.READ),),
    "diff_volume": (Needs(Level.READ, "request.volume"),),
    "restore_volume": (Needs(Level.OWN),),
    "fork_volume": (Needs(Level.READ), Needs(Level.WRITE, "to")),
    "remove_volume": (Needs(Level.OWN), Forgets()),
    "bring_back_volume": (Needs(Level.OWN),),
    "tag_volume": (Needs(Level.WRITE),),
    "untag_volume": (Needs(Level.OWN),),
    "volume_tags": (Needs(Level.READ),),
    "thin_volume": (Needs(Level.OWN),),
    "collect_volume": (Needs(Level.OWN),),
    "check_volume": (Needs(Level.WRITE),),
    "share_volume": (Needs(Level.OWN),),
    "volume_shares": (Needs(Level.OWN),),
    "network_log": (Own(),),
    "change_network": (OwnersOnly(),),
    "check_secret": (OwnersOnly(),),
    "create_token": (OwnersOnly(),),
    "list_tokens": (OwnersOnly(),),
    "revoke_token": (OwnersOnly(),),
}


def gate(
    service: SandboxService,
    access: Access,
    principal: str,
    rights: Callable[[], Awaitable[Rights]] | None = None,
) -> SandboxService:
    """Return `service` as a principal may use it; `rights`: where that is less than the principal's own."""
    return cast(
        "SandboxService", _Gate(service, access, principal, rights or partial(access.rights, principal))
    )


@cache
def _signature(name: str) -> inspect.Signature:
    return inspect.signature(getattr(SandboxService, name))


class _Gate:
    """Stands in for each method of the service; a name without a rule is no method."""

    def __init__(
        self,
        service: SandboxService,
        access: Access,
        principal: str,
        rights: Callable[[], Awaitable[Rights]],
    ) -> None:
        self._service = service
        self._access = access
        self._principal = principal
        self._rights_now = rights

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in RULES:
            raise AttributeError(name)
        rules, method = RULES[name], getattr(self._service, name)

        async def checked(*args: object, **kwargs: object) -> object:
            rights = await self._rights()
            given = _signature(name).bind(self._service, *args, **kwargs).arguments
            self._check_wait(given)
            for rule in rules:
                self._check(rule, given, rights)
            # Who goes away in the middle of a removal must not keep his share by it
            with anyio.CancelScope(shield=Forgets() in rules):
                answer = await method(*args, **kwargs)
                if Forgets() in rules:
                    await self._access.forget(self._access.volume(given["volume"]))
            return told(answer, self._access, rights)

        return checked

    def _check_wait(self, given: Mapping[str, Any]) -> None:
        """Bound a principal's call, so that a token that was revoked does not go on by it."""
        is_short = all((given.get(name) or 0) <= MAX_WAIT_S for name in ("wait_s", "grace_s"))  # no nan is
        if self._principal != OWNER and not is_short:
            raise ServiceError(
                "limit_exceeded",
                f"a call waits at most {MAX_WAIT_S:g} s",
                "ask again when it is over",
            )

    async def _rights(self) -> Rights:
        try:
            return await self._rights_now()
        except HutchError as error:
            raise ServiceError(error.code, error.message, error.hint) from error

    def _check(self, rule: Rule, given: Mapping[str, Any], rights: Rights) -> None:
        if isinstance(rule, OwnersOnly) and self._principal != OWNER:
            raise ServiceError(
                "owner_only", "this is for the owner of the daemon", "ask whoever gave you your token"
            )
        if isinstance(rule, Needs):
            first, _, field = rule.argument.partition(".")
            text = getattr(given[first], field) if field else given.get(first)
            if text is None:  # it was left out, and so no volume is named
                return
            try:
                rights.require(self._access.volume(text), rule.level)
            except HutchError as error:
                raise ServiceError(error.code, error.message, error.hint) from error
