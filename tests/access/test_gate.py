"""No call of the service passes unclassified: every method has a rule, and it is what its volumes need."""

import inspect
import re
import typing
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import cast

import anyio
import pytest
from pydantic import BaseModel

from hutch.access import Access, Level
from hutch.config import parse
from hutch.runs.gate.gate import RULES, Listed, Mounts, Needs, Own, OwnersOnly, gate
from hutch.state.store import open_state
from hutch.volumes import VolumeName
from hutch.web.api import operations
from hutch_mcp_tools.service import SandboxService, ServiceError

CONFIG = parse('[principals.ci]\nvolumes = {"data" = "ro", "team" = "rw"}\n', {"HOME": "/home/someone"})
NAMES = ("volume", "name", "to", "source", "target")  # of arguments that name a volume


def volumes_of(method: str) -> Iterator[str]:
    """The arguments of a method that name a volume, as a rule writes them."""
    function = getattr(SandboxService, method)
    for name, kind in typing.get_type_hints(function).items():
        if name in NAMES and kind in (str, str | None):
            yield name
        elif isinstance(kind, type) and issubclass(kind, BaseModel) and name != "return":
            yield from (f"{name}.{field}" for field in kind.model_fields if field in NAMES)


class Recorder:
    """A service whose every method answers with its own name, if it is ever asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Awaitable[list[object]]]:
        function = getattr(SandboxService, name)

        async def answer(**_: object) -> list[object]:
            self.asked.append(name)
            return []

        parameters = list(inspect.signature(function).parameters.values())[1:]
        answer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return answer


@pytest.fixture
async def access(tmp_path: Path) -> AsyncGenerator[Access]:
    async with open_state(tmp_path / "state.db") as state:
        yield Access(CONFIG, state)


def test_every_method_of_the_service_has_a_rule() -> None:
    assert sorted(RULES) == sorted(operations())
    assert all(RULES.values())


@pytest.mark.parametrize("method", sorted(operations()))
def test_every_volume_that_a_method_is_told_of_is_checked(method: str) -> None:
    """By a rule of the gate; or, where a run mounts it, by the plan of that run."""
    rules = RULES[method]
    checked = {rule.argument for rule in rules if isinstance(rule, Needs)}
    if not any(isinstance(rule, Mounts | OwnersOnly) for rule in rules):
        assert checked == set(volumes_of(method))
    assert all(rule.level > Level.NONE for rule in rules if isinstance(rule, Needs))


@pytest.mark.parametrize("method", sorted(operations()))
def test_only_what_lists_or_is_about_runs_may_name_no_volume(method: str) -> None:
    if not any(isinstance(rule, Needs) for rule in RULES[method]):
        assert any(isinstance(rule, Own | Mounts | Listed | OwnersOnly) for rule in RULES[method])


@pytest.mark.parametrize("method", sorted(operations()))
def test_what_takes_from_others_or_overrules_them_is_for_owners(method: str) -> None:
    """By its name, so that a method which is added without a thought for it is found."""
    if re.search(r"share|remove|restore|bring_back|thin|collect|gc|quota|limit", method):
        assert Needs(Level.OWN) in RULES[method]


def arguments(method: str, volume: str) -> dict[str, object]:
    """Arguments that name `volume` wherever a rule looks for one."""
    given: dict[str, object] = {}
    function = getattr(SandboxService, method)
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.default is parameter.empty:
            given[parameter.name] = 0
    for rule in RULES[method]:
        if isinstance(rule, Needs):
            first, _, field = rule.argument.partition(".")
            named = given.get(first) or type("Request", (), {})()
            if field:
                setattr(named, field, volume)
            given[first] = named if field else volume
    return given


@pytest.mark.parametrize("method", sorted(operations()))
async def test_the_service_is_never_asked_about_what_is_not_granted(access: Access, method: str) -> None:
    recorder = Recorder()
    service = gate(cast("SandboxService", recorder), access, "ci")
    needed = max((rule.level for rule in RULES[method] if isinstance(rule, Needs)), default=Level.NONE)
    granted = {"secret": Level.NONE, "data": Level.READ, "team": Level.WRITE}
    for volume, level in granted.items():
        codes = ("volume_unknown", "volume_read_only", "volume_not_yours")
        is_allowed = level >= needed and OwnersOnly() not in RULES[method]
        code = "" if is_allowed else "owner_only" if OwnersOnly() in RULES[method] else codes[level]
        try:
            await getattr(service, method)(**arguments(method, volume))
        except ServiceError as error:
            assert (error.code, recorder.asked) == (code, [])  # noqa: PT017
        else:
            assert (code, recorder.asked.pop()) == ("", method)


@pytest.mark.parametrize("method", sorted(operations()))
async def test_the_owner_may_do_all_and_the_unconfigured_nothing_with_a_volume(
    access: Access, method: str
) -> None:
    recorder = Recorder()
    owner = gate(cast("SandboxService", recorder), access, "owner")
    await getattr(owner, method)(**arguments(method, "secret"))
    assert recorder.asked.pop() == method
    if any(isinstance(rule, Needs) for rule in RULES[method]):
        nobody = gate(cast("SandboxService", recorder), access, "nobody")
        with pytest.raises(ServiceError, match="there is no volume 'team'"):
            await getattr(nobody, method)(**arguments(method, "team"))
    assert recorder.asked == []


async def test_what_has_no_rule_is_no_method(access: Access) -> None:
    service = gate(cast("SandboxService", Recorder()), access, "owner")
    assert not [name for name in ("remove_everything", "access", "__call__") if hasattr(service, name)]


async def test_a_principals_call_waits_for_a_bounded_time(access: Access) -> None:
    service = gate(cast("SandboxService", Recorder()), access, "ci")
    await service.get_run(run_id="r-1", wait_s=50)
    for wait_s in (51, float("inf"), float("nan")):
        with pytest.raises(ServiceError, match="at most 50 s"):
            await service.get_run(run_id="r-1", wait_s=wait_s)
    with pytest.raises(ServiceError, match="at most 50 s"):
        await service.stop_run(run_id="r-1", grace_s=3600)


async def test_another_volume_of_a_name_begins_without_the_shares_of_the_one_before(access: Access) -> None:
    for name in ("lent", "data"):
        await access.share(VolumeName.parse(name), "ci", Level.OWN)
    await gate(cast("SandboxService", Recorder()), access, "owner").remove_volume(volume="default/lent")
    service = gate(cast("SandboxService", Recorder()), access, "ci")
    with pytest.raises(ServiceError, match="there is no volume 'lent'"):
        await service.volume_log(volume="lent")
    await service.volume_shares(volume="data")  # what was shared of others stays


async def test_who_goes_away_in_the_middle_of_a_removal_keeps_no_share(access: Access) -> None:
    removal = anyio.CancelScope()

    class Removing(Recorder):
        async def remove_volume(self, volume: str) -> list[object]:
            removal.cancel()
            await anyio.sleep(0.01)
            return []

    await access.share(VolumeName.parse("lent"), "ci", Level.OWN)
    with removal:
        await gate(cast("SandboxService", Removing()), access, "ci").remove_volume(volume="lent")
    assert await access.shares(VolumeName.parse("lent")) == []


async def test_a_right_that_was_taken_counts_from_the_next_call_on(access: Access) -> None:
    service = gate(cast("SandboxService", Recorder()), access, "ci")
    await service.volume_log(volume="data")
    await access.share(VolumeName.parse("data"), "ci", Level.NONE)
    with pytest.raises(ServiceError, match="there is no volume 'data'"):
        await service.volume_log(volume="data")
    with pytest.raises(ServiceError, match="there is no volume 'data'"):
        await service.volume_log(volume="default/data")
