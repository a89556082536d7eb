"""`hutch method`: the sandbox methods of the configuration, and the contract's suite against one of them."""

import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from hutch.cli.invocation import Invocation
from hutch.cli.method_setup import find, setup
from hutch.cli.output import counted, duration, json_option, note, print_json, print_table
from hutch.cli.waiting import shown_waiting
from hutch.errors import HutchError, unwrapped
from hutch.exit_codes import FAILED
from hutch_mcp_tools.text import one_line

if TYPE_CHECKING:
    from hutch.config import Config
    from hutch_launchers.contract.case import Result
    from hutch_launchers.launcher import Launcher, Probe

_LINE = 300
_COLOURS = {"held": "green", "refused": "green", "not applicable": "yellow", "not held": "red"}


@click.group()
def method() -> None:
    """Look at the sandbox methods of the configuration, and attack one."""


method.add_command(setup)


@method.command(short_help="List the methods, and what each guarantees here.")
@json_option
@click.pass_obj
def ls(invocation: Invocation, /, *, as_json: bool) -> None:
    """List the methods, whether each works here, and what it was seen to guarantee."""
    import anyio

    config = invocation.config
    found = anyio.run(_probe_all, config)
    if as_json:
        print_json([_told(config, probe) for probe in found])
        return
    print_table(
        ("METHOD", "KIND", "HERE", "GUARANTEES"),
        [
            (
                probe.method,
                config.methods[probe.method].kind,
                "yes" if probe.available else "no",
                _guarantees(probe) if probe.available else probe.reason,
            )
            for probe in found
        ],
    )


@method.command(short_help="Attack a method: every case of the contract.")
@click.argument("name")
@click.option("--group", "groups", multiple=True, help="Only this group of cases; may be repeated.")
@click.option(
    "--fresh", is_flag=True, help="Measure again what the method guarantees, instead of what is known."
)
@json_option
@click.pass_obj
def test(invocation: Invocation, /, *, name: str, groups: Sequence[str], fresh: bool, as_json: bool) -> int:
    """Attack the method NAME: every case of the contract, on real sandboxes with canaries around them.

    It tests what you configured, a wrapper of your own as well. Ends with 1 if a case is not held. What a
    method cannot give it must refuse; that is a safe end, and told as such.
    """
    import anyio

    config = invocation.config
    chosen = _groups(groups)
    launcher = find(config, name)
    began = time.monotonic()
    tell = _note_group if as_json else _print_group
    probe, results = anyio.run(_hold, launcher, chosen, fresh, tell)
    if as_json:
        print_json({**_told(config, probe), "cases": list(map(_row, results))})
    else:
        click.echo(
            f"{counted(len(results), 'case')} in {duration(time.monotonic() - began)}: {_counts(results)}"
        )
    return FAILED if any(one.outcome == "not held" for one in results) else 0


def _groups(asked: Sequence[str]) -> Sequence[str]:
    from hutch_launchers.contract.case import GROUPS

    if unknown := [group for group in asked if group not in GROUPS]:
        raise click.UsageError(f"no group is called {unknown[0]!r}; there are {', '.join(GROUPS)}")
    return asked or tuple(GROUPS)


async def _hold(
    launcher: "Launcher",
    groups: Sequence[str],
    fresh: bool,  # noqa: FBT001 - anyio.run passes by position
    tell: "Callable[[Sequence[Result]], None]",
) -> "tuple[Probe, list[Result]]":
    """Attack group by group, and tell of each when it is done."""
    from hutch.cli.method_ways import ways_out
    from hutch_launchers.contract.suite import hold_against
    from hutch_launchers.launcher import AgentLauncher, LauncherError

    if isinstance(launcher, AgentLauncher):
        raise HutchError(
            "agent_needed",
            f"{launcher.name} starts named agents: there is no command of ours in it to attack from",
            "docs/methods.md says what was seen of it",
        )
    results: list[Result] = []
    try:
        with unwrapped():
            async with (
                shown_waiting(launcher.name, comes_back=True) as waiting,
                aclosing(hold_against(launcher, groups, waiting.now, ways_out, fresh=fresh)) as coming,
            ):
                async for group in coming:
                    waiting.interrupt()
                    tell(group)
                    results += group
    except LauncherError as error:
        raise HutchError(error.code, error.message, error.hint) from error
    return await launcher.probe(), results


async def _probe_all(config: "Config") -> "list[Probe]":
    import anyio

    from hutch import app

    found: dict[str, Probe] = {}

    async def probe(launcher: "Launcher") -> None:
        found[launcher.name] = await launcher.probe()

    launchers = app.launchers_of(config)
    async with anyio.create_task_group() as tasks:
        for launcher in launchers.values():
            tasks.start_soon(probe, launcher)
    return [found[name] for name in launchers]


def _told(config: "Config", probe: "Probe") -> dict[str, Any]:
    return {
        "name": probe.method,
        "kind": config.methods[probe.method].kind,
        "available": probe.available,
        "reason": probe.reason,
        "fix": probe.fix,
        "version": probe.version,
        "guarantees": {
            str(name): {"held": shown.held, "mechanism": shown.mechanism, "detail": shown.detail}
            for name, shown in probe.evidence.items()
        },
        "abilities": sorted(probe.abilities),
    }


def _guarantees(probe: "Probe") -> str:
    """Those that it holds, in the fewest words."""
    from hutch_launchers.spec import Guarantee

    missing = sorted(set(Guarantee) - probe.guarantees)
    if len(missing) <= len(probe.guarantees):
        return f"all but {', '.join(missing)}" if missing else "all"
    return ", ".join(sorted(probe.guarantees)) or "none"


def _row(result: "Result") -> dict[str, str]:
    case = result.case
    return {
        "case": case.key,
        "group": case.group,
        "title": case.title,
        "outcome": result.outcome,
        "reason": result.reason,
    }


def _note_group(results: "Sequence[Result]") -> None:
    from hutch_launchers.contract.case import GROUPS

    note(f"{GROUPS[results[0].case.group]}: {_counts(results)}")


def _print_group(results: "Sequence[Result]") -> None:
    from hutch_launchers.contract.case import GROUPS

    click.secho(GROUPS[results[0].case.group], bold=True)
    told = set()  # a method that lacks a guarantee has one reason for many cases
    for result in results:
        outcome = click.style(result.outcome.ljust(14), fg=_COLOURS[result.outcome])
        click.echo(f"  {outcome}  {result.case.title}")
        if result.outcome != "held" and result.reason not in told:
            told.add(result.reason)
            click.echo(f"  {' ' * 14}  {one_line(result.reason, _LINE)}")


def _counts(results: "Sequence[Result]") -> str:
    counts = {outcome: sum(one.outcome == outcome for one in results) for outcome in _COLOURS}
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
