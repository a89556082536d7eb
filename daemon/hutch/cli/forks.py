"""`hutch agent --forks`: one task attempted several times at once, shown side by side while they work."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import click
from anyio.abc import TaskStatus

from hutch.cli.invocation import Invocation, asked
from hutch.cli.output import counted, dollars, duration, in_and_out, note, print_json, table_lines
from hutch.exit_codes import FAILED
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.group_records import MOST_FORKS, AttemptRecord, Forks, GroupRecord
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.usage_records import Budget

_REFRESH_S = 1.0
_HEADS = ("#", "SESSION", "STATE", "TOOK", "TOKENS", "COST", "CHANGED", "MODEL", "NOW")
Command = TypeVar("Command", bound=Callable[..., Any])


def forks_options(command: Command) -> Command:
    """Add how often a task is attempted at once, and what the attempts do not have in common."""
    command = click.option(
        "--variant",
        multiple=True,
        metavar="TEXT",
        help="With --forks: added to the prompt of the first attempt; the next one to that of the next.",
    )(command)
    command = click.option(
        "--group-budget-tokens",
        type=click.IntRange(1),
        metavar="N",
        help="The most tokens of all attempts together.",
    )(command)
    command = click.option(
        "--group-budget-usd",
        type=click.FloatRange(0, min_open=True),
        metavar="USD",
        help="The most that all attempts may spend together.",
    )(command)
    return click.option(
        "--forks",
        type=click.IntRange(2, MOST_FORKS),
        metavar="N",
        help="Attempt it N times at once, each in a fork of its own.",
    )(command)


def forks_of(options: dict[str, Any]) -> Forks | None:
    """Take what is said of attempts out of the options; None: it is attempted once."""
    count, variants = options.pop("forks"), list(options.pop("variant"))
    models = options["model"].split(",") if "," in (options["model"] or "") else []
    budget = {name: options.pop(f"group_{name}") for name in ("budget_usd", "budget_tokens")}
    if count is None:
        if variants or models or any(budget.values()):
            raise click.UsageError("--variant, several models and --group-budget-usd go with --forks")
        return None
    if models:
        options["model"] = None
    return asked(Forks, count=count, models=models, variants=variants, **budget)


def attempt(
    invocation: Invocation, request: AgentRequest, forks: Forks, *, detach: bool, as_json: bool
) -> int:
    """Begin all attempts, and unless `detach` show them until the last has ended."""

    async def work(service: SandboxService) -> int:
        group = await service.start_forks(request, forks)
        if detach:
            _print(group, as_json=as_json)
            return 0
        watched = Watched(service, group, as_json=as_json)
        group = await watched.to_the_end()
        if as_json:
            print_json(group)
        else:
            _tell(group)
        failed = all(each.status == "failed" for each in group.attempts)
        return 128 + watched.signal if watched.signal else FAILED if failed else 0

    return invocation.call(work)


def stop_group(invocation: Invocation, group_id: str, *, as_json: bool) -> None:
    """End every turn of a group."""
    _tell_states(invocation.call(lambda service: service.stop_group(group_id)), as_json=as_json)


def hold_group(
    invocation: Invocation, group_id: str, *, suspended: bool, as_json: bool, budget: Budget | None
) -> None:
    """Hold every turn of a group still, or let all go on, with more of their budget."""

    async def work(service: SandboxService) -> GroupRecord:
        return await service.suspend_group(group_id, suspended=suspended, budget=budget)

    group = invocation.call(work)
    _tell_states(group, as_json=as_json)
    ended = [each.session_id for each in group.attempts if each.outcome.startswith("budget")]
    if budget and budget != Budget() and ended and not as_json:
        note(f"those that ended go on with a prompt: hutch agent --session {ended[0]} {group.agent} '…'")


def _tell_states(group: GroupRecord, *, as_json: bool) -> None:
    if as_json:
        print_json(group)
        return
    note(f"{group.group_id}: " + ", ".join(each.state for each in group.attempts))
    for line in budget_lines(group):
        note(line)


@dataclass(slots=True)
class Watched:
    """A group as somebody watches it: an interrupt ends its attempts, a second one the watching alone."""

    service: SandboxService
    group: GroupRecord
    as_json: bool
    signal: int = 0
    _drawn: int = 0  # lines on the terminal
    _said: dict[int, str] = field(default_factory=dict)

    async def to_the_end(self) -> GroupRecord:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._obey_signals)
            while True:
                self._show()
                if not self.group.is_at_work:
                    break
                self.group = await self.service.get_group(self.group.group_id, _REFRESH_S)
            tasks.cancel_scope.cancel()
        return self.group

    def _show(self) -> None:
        if self.as_json:
            return
        if sys.stdout.isatty():
            self._draw()
            return
        for each in self.group.attempts:
            if self._said.get(each.number) != each.state:
                self._said[each.number] = each.state
                note(f"attempt {each.number}, {each.session_id}: {each.state}")

    def _draw(self) -> None:
        """Put the table where it was drawn before; no line may be wider than the terminal."""
        width = shutil.get_terminal_size().columns - 1
        lines = [line[:width] for line in group_lines(self.group)]
        back = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
        sys.stdout.write(back + "".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
        self._drawn = len(lines)

    async def _obey_signals(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            task_status.started()
            async with anyio.create_task_group() as stopping:
                async for number in signals:
                    if self.signal:
                        os._exit(128 + number)
                    self.signal = number
                    note("ending the attempts (once more: leave them to the daemon)")
                    self._drawn = 0
                    stopping.start_soon(self.service.stop_group, self.group.group_id)


def group_lines(group: GroupRecord) -> list[str]:
    """A table of the attempts as they stand, and what they have spent together of what they may."""
    return [*table_lines(_HEADS, [_row(each) for each in group.attempts]), *budget_lines(group)]


def budget_lines(group: GroupRecord) -> list[str]:
    """What all attempts have spent together; nothing where they have no budget of their own."""
    return [f"together: {group.budget}"] if group.budget else []


def _row(attempt: AttemptRecord) -> Sequence[str]:
    return (
        str(attempt.number),
        attempt.session_id or "",
        attempt.state,
        duration(attempt.duration_s),
        in_and_out(attempt.tokens_in, attempt.tokens_out),
        dollars(attempt.cost_usd),
        "" if attempt.changed is None else counted(attempt.changed, "file"),
        attempt.model or "",
        now(attempt),
    )


def now(attempt: AttemptRecord) -> str:
    """What it does; when it has ended, what came of it."""
    if attempt.is_at_work:
        return attempt.note
    return attempt.error or attempt.last_message or ""


def _print(group: GroupRecord, *, as_json: bool) -> None:
    if as_json:
        print_json(group)
    else:
        print(group.group_id)
        note(f"{len(group.attempts)} are at work; see: hutch compare {group.group_id}")


def _tell(group: GroupRecord) -> None:
    if not sys.stdout.isatty():  # there it stands already
        for line in group_lines(group):
            print(line)
    note(f"· compare: hutch compare {group.group_id}; keep one in volume {group.volume}: hutch keep SESSION")
