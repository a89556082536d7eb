"""Holds a method against the contract: every case of every group, each with what became of it."""

import os
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Sequence
from contextlib import contextmanager

import anyio

from hutch_launchers.contract.attacking import Try, attack, attack_ways, judge
from hutch_launchers.contract.bench import Bench
from hutch_launchers.contract.case import GROUPS, Case, NotApplicableError, NotHeldError, Result
from hutch_launchers.contract.cases import (
    files,
    host_services,
    kernel,
    life_cycle,
    limits,
    network,
    protected_paths,
    secrets,
)
from hutch_launchers.contract.outside import Egress
from hutch_launchers.contract.protected import planted
from hutch_launchers.contract.stage import Stage, stage
from hutch_launchers.launcher import Launcher, LauncherError
from hutch_launchers.spec import Guarantee

CASES: tuple[Case, ...] = (
    *files.CASES,
    *protected_paths.CASES,
    *kernel.CASES,
    *limits.CASES,
    *host_services.CASES,
    *network.CASES,
    *secrets.CASES,
    *life_cycle.CASES,
)
_WATCH_S = 240.0  # of one case that is watched


async def hold_against(
    launcher: Launcher,
    groups: Collection[str],
    say: Callable[[str], None],
    egress: Egress,
    *,
    fresh: bool = False,
) -> AsyncGenerator[list[Result]]:
    """Attack `launcher`, group by group, and yield what became of the cases of each.

    `say` is told what is done next: a group can take long. `egress` serves what is granted to a sandbox.

    Raises:
        LauncherError: `method_unavailable`, with the probe's reason.
    """
    say("measuring what it guarantees")
    probe = await launcher.probe(fresh=fresh)
    if not probe.available:
        raise LauncherError("method_unavailable", f"{probe.method}: {probe.reason}", probe.fix)
    with stage() as staged, _planted(staged):
        bench = Bench(launcher, probe, staged, getattr(launcher, "python", "/usr/bin/python3"))
        for group in GROUPS:
            if group in groups:
                say(f"attacking: {GROUPS[group].lower()}")
                yield await _hold_group(bench, group, egress)


async def _hold_group(bench: Bench, group: str, egress: Egress) -> list[Result]:
    cases = [case for case in CASES if case.group == group]
    with_ways = [case for case in cases if case.has_ways]
    without = [case for case in cases if not case.has_ways]
    held = await _hold_some(bench, without)
    return held + await _hold_ways(bench, with_ways, egress)


async def _hold_some(bench: Bench, cases: Sequence[Case]) -> list[Result]:
    tries: list[Try] = []
    trouble = ""
    if _tried(bench, [case for case in cases if case.watch is None]):
        try:
            told, trouble = await attack(bench, cases)
            tries.extend(told)
        except (LauncherError, NotHeldError) as error:
            trouble = f"the attacks could not be made: {error}"
    results = [await _hold(bench, case, tries, trouble) for case in cases]
    disturbed = bench.stage.disturbed()
    if cases[0].group == "protected" and tries:
        disturbed = disturbed or planted(bench.stage.repository)
    return _spoilt(results, disturbed)


async def _hold_ways(bench: Bench, cases: Sequence[Case], egress: Egress) -> list[Result]:
    tries: Sequence[Try] = ()
    trouble = came_out = ""
    if tried := _tried(bench, cases):
        tries, trouble, came_out = await attack_ways(bench, tried, egress)
    results = [await _hold(bench, case, tries, trouble) for case in cases]
    return _spoilt(results, came_out or bench.stage.disturbed())


def _tried(bench: Bench, cases: Sequence[Case]) -> list[Case]:
    """Those whose attacks are made: all that they rest on is there."""
    return [case for case in cases if not bench.lacks(case.needs, case.uses)]


def _spoilt(results: list[Result], disturbed: str) -> list[Result]:
    """Of what was disturbed cannot be said by which of the attacks."""
    if not disturbed:
        return results
    return [Result(one.case, "not held", disturbed) if one.outcome == "held" else one for one in results]


async def _hold(bench: Bench, case: Case, tries: Sequence[Try], trouble: str) -> Result:
    try:
        if missing := bench.lacks(case.needs, case.uses):
            return await _refused(bench, case, missing)
        if case.watch is None:
            return judge(case, tries, trouble)
        with anyio.fail_after(_WATCH_S):
            await case.watch(bench)
    except NotApplicableError as reason:
        return Result(case, "not applicable", str(reason))
    except TimeoutError:
        return Result(case, "not held", f"it came to no end within {_WATCH_S:.0f} s")
    except Exception as error:  # noqa: BLE001 - whatever it was, the case was not shown to hold
        return Result(case, "not held", _told(error))
    return Result(case, "held", "watched from the host")


async def _refused(bench: Bench, case: Case, missing: str) -> Result:
    if missing == Guarantee.SYSCALLS and Guarantee.KERNEL in bench.probe.guarantees:
        return Result(case, "not applicable", "its kernel is its own")
    return Result(case, "refused", await bench.refuses(missing))


def _told(error: BaseException) -> str:
    """What an error says, those of a task group one by one."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(one) for one in error.exceptions)
    return str(error) or type(error).__name__


@contextmanager
def _planted(staged: Stage) -> Generator[None]:
    """A secret and an agent for keys in our own environment, which no sandbox may inherit."""
    planted = {
        "HUTCH_PLANTED_SECRET": staged.secret,
        "SSH_AUTH_SOCK": str(staged.workspace / "service.sock"),
    }
    before = {name: os.environ.get(name) for name in planted}
    os.environ.update(planted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
