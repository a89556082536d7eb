"""`hutch run`: one command or script in a sandbox, its output as it comes, its exit code as ours."""

import os
import stat
import sys
import threading
from typing import Any

import click

from hutch.cli import kinds
from hutch.cli.arguments import args_option, arguments
from hutch.cli.changes import tell_workspace
from hutch.cli.follow import Follower
from hutch.cli.invocation import Invocation, asked
from hutch.cli.output import duration, json_option, note, print_json
from hutch.cli.refusal import report
from hutch.cli.script import ScriptOrCommand, is_absent_script, read_args, typed_script, with_head
from hutch.cli.terminal import Sink
from hutch.cli.waiting import Waiting
from hutch.errors import HutchError
from hutch.exit_codes import exit_code
from hutch_mcp_tools.run_records import RunRecord, RunRequest, Stream
from hutch_mcp_tools.service import SandboxService

_STDIN_BYTES = 11 << 20  # what a request to the daemon holds besides the rest
_UNSYNCED = "volume_unsynced"
_NOT_FOUND = 127
_HINTS = {
    "timed_out": "give it longer: --timeout 30m",
    "oom": "give it more: --memory 8GiB",
    "pids": "give it more: --pids 1024",
    "disk_full": "give its private folders more: --disk 4GiB; work in a volume; or free what is full",
    "budget": "give it more: --budget-usd 5; or see [budgets] in the configuration",
    "output_limit": "give it more: --output 16GiB; large output belongs into a volume",
    "lost": "the daemon went away while it ran; its log has the reason",
}
_EXAMPLES = """
hutch run -- python3 -c 'print(1 + 1)'
hutch run -v web -- make test
echo 'import this' | hutch run python3 -
hutch run report.py --arg user=ada
"""
_SECTIONS = {
    "What runs": "--arg --args-json --agent --cwd --env",
    "Where": "--volume --workspace --session --wait-volume",
    "Policy": "--tier --method --image",
    "Network and secrets": "--net --secret",
    "Limits and budgets": "--timeout --memory --cpus --pids --disk --open-files --output --budget-usd"
    " --budget-tokens --budget-requests --pause-at-budget",
    "Unattended": "--detach",
}


class Passing:
    """Output that goes on to our own stdout and stderr; `aside`: all of it to stderr."""

    def __init__(self, *, raw: bool, aside: bool = False) -> None:
        stderr = Sink(sys.stderr.buffer, raw=raw)
        self._sinks = {"stdout": stderr if aside else Sink(sys.stdout.buffer, raw=raw), "stderr": stderr}

    def output(self, stream: Stream, data: bytes) -> None:
        self._sinks[stream].write(data)

    def end(self) -> None:
        for sink in self._sinks.values():
            sink.end()


class Collecting:
    """Output that is kept for one JSON document."""

    def __init__(self) -> None:
        self._data = {"stdout": bytearray(), "stderr": bytearray()}

    def output(self, stream: Stream, data: bytes) -> None:
        self._data[stream] += data

    def end(self) -> None: ...

    @property
    def texts(self) -> dict[str, str]:
        return {name: data.decode("utf-8", "replace") for name, data in self._data.items()}


@click.command(
    cls=ScriptOrCommand,
    context_settings={"allow_interspersed_args": False},
    sections=_SECTIONS,
    examples=_EXAMPLES,
)
@click.option(
    "-v", "--volume", multiple=True, metavar="[NEW=]NAME[@AT][:PATH[:ro]]", help="A volume; at /workspace."
)
@args_option
@click.option("--args-json", metavar="FILE|-", help="An object of arguments, from a file or standard input.")
@click.option(
    "-w",
    "--workspace",
    type=kinds.workspace,
    metavar="DIR[:MODE]",
    help="A folder of this host, at /workspace; MODE is ro, rw, review or worktree.",
)
@click.option(
    "--net", metavar="NAME,…", help="Networks of the configuration, allow:HOST last; none unless asked for."
)
@kinds.secret_option
@kinds.method_option
@kinds.image_option
@click.option(
    "--agent", metavar="NAME", help="For a script: the program, networks and secrets of this agent."
)
@kinds.tier_option
@click.option("--session", metavar="ID", help='A kept sandbox to run in; "new" opens one.')
@click.option("--cwd", metavar="DIR", help="Where to start, inside.")
@click.option(
    "-e",
    "--env",
    type=kinds.variable,
    metavar="NAME[=VALUE]",
    multiple=True,
    help="A variable; without =VALUE yours.",
)
@click.option("--timeout", type=kinds.duration, metavar="TIME", help="The most time it may take: 90s, 15m.")
@click.option("--memory", type=kinds.size, metavar="SIZE", help="The most memory: 512MiB.")
@click.option(
    "--cpus", metavar="N", type=click.FloatRange(min=0, min_open=True), help="The most processors: 1.5."
)
@click.option("--pids", metavar="N", type=click.IntRange(min=1), help="The most processes and threads.")
@click.option("--disk", type=kinds.size, metavar="SIZE", help="The most in /tmp, /dev/shm and home: 4GiB.")
@click.option(
    "--open-files", metavar="N", type=click.IntRange(min=16), help="The most open files of a process."
)
@click.option("--output", type=kinds.size, metavar="SIZE", help="The most it may write to its output: 1GiB.")
@kinds.budget_options
@kinds.pause_option
@kinds.wait_volume_option
@click.option("--detach", is_flag=True, help="Print the run's id and leave it at work.")
@click.option("--print-id", is_flag=True, help="Print the run's id; its own output goes to stderr.")
@click.option("--raw", is_flag=True, help="Give a terminal every byte, control sequences too.")
@json_option
@click.argument("command", nargs=-1, required=True)
@click.pass_obj
def run(invocation: Invocation, /, *, raw: bool, as_json: bool, print_id: bool, **options: Any) -> int:
    """Run COMMAND in a sandbox, pass its input and output on, and end with its exit code.

    Or a script of this host, whose head says what it needs: its arguments are given with --arg.
    """
    display = Collecting() if as_json else Passing(raw=raw, aside=print_id)
    waiting = Waiting("waiting for the daemon")
    request = _request(options, invocation)
    if request.detach:
        return _leave(invocation, request, as_json=as_json)

    async def work(service: SandboxService) -> int:
        follower = Follower(service, display, waiting, owns=True)
        record = await follower.follow(lambda wait_s, events: service.run(request, wait_s, events))
        if isinstance(display, Collecting):
            print_json(record.model_dump(mode="json") | display.texts)
        elif print_id:
            print(record.run_id)
        _tell(record, is_new=options["session"] == "new" and not as_json)
        if record.exit_code == _NOT_FOUND and is_absent_script(options["command"]):
            note(f"hint: {options['command'][0]} is no file here; a script of this host is named by its path")
        return 128 + follower.signal if follower.signal else exit_code(record)

    return invocation.call(work)


def _leave(invocation: Invocation, request: RunRequest, *, as_json: bool) -> int:
    """Begin it and say what it is called."""
    record = invocation.call(lambda service: service.run(request, 0))
    if as_json:
        print_json(record)
    else:
        print(record.run_id)
        if not record.is_ended:
            note(f"it is at work; follow it: hutch logs -f {record.run_id}")
    return exit_code(record) if record.is_ended else 0


def _request(options: dict[str, Any], invocation: Invocation) -> RunRequest:
    options["args"] = read_args(options["args_json"])
    script = typed_script(options["command"])
    if script:
        options = with_head(options, script, invocation)
    elif options["agent"]:
        raise click.UsageError("--agent goes with a script; an agent itself is given a task by: hutch agent")
    return asked(
        RunRequest,
        command=list(options["command"]),
        script=script and {"name": script.path.name, "text": script.text},
        agent=options["agent"],
        session_id=options["session"],
        volumes=list(options["volume"]),
        args=options["args"] | arguments(options["arg"]),
        workspace=options["workspace"],
        method=options["method"],
        image=options["image"],
        tier=options["tier"],
        cwd=options["cwd"],
        env=dict(options["env"]),
        stdin=b"" if options["args_json"] == "-" else _piped_input(),
        network=options["net"],
        secrets=list(options["secret"]),
        timeout_s=options["timeout"],
        memory_bytes=options["memory"],
        cpus=options["cpus"],
        pids=options["pids"],
        disk_bytes=options["disk"],
        open_files=options["open_files"],
        output_bytes=options["output"],
        budget_usd=options["budget_usd"],
        budget_tokens=options["budget_tokens"],
        budget_requests=options["budget_requests"],
        pause_at_budget=options["pause_at_budget"],
        volume_wait_s=options["wait_volume"] or 0,
        detach=options["detach"],
    )


def _piped_input() -> bytes:
    """Standard input, if it is a pipe, a file or a socket; a terminal is not read."""
    if not _is_data(0):
        return b""
    reminder = threading.Timer(
        1.0, note, ["… waiting for the end of the input (none meant? add: </dev/null)"]
    )
    reminder.daemon = True
    reminder.start()
    try:
        data = sys.stdin.buffer.read(_STDIN_BYTES + 1)
    finally:
        reminder.cancel()
    if len(data) > _STDIN_BYTES:
        raise HutchError(
            "input_invalid", "the input is over 11 MiB", "put it into a volume: hutch volume put"
        )
    return data


def _is_data(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False  # closed
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _tell(record: RunRecord, *, is_new: bool) -> None:
    """Say on stderr what the output cannot: why it did not end by itself, and what became of its volumes."""
    tell_end(record)
    tell_workspace(record)
    for name, why in record.unsynced.items():
        report(
            f"{_UNSYNCED}: the store has not the newest changes of volume {name} yet: {why}",
            f"they are kept on this machine and stored when it takes them; see: hutch show {record.run_id}",
        )
    if is_new and record.session_id:
        kept = record.session_id
        note(f"kept as session {kept}; run in it: hutch run --session {kept} -- …; end it: hutch stop {kept}")
    if sys.stderr.isatty():
        for name, snapshot in record.snapshots.items():
            changed = record.changed.get(name, [])
            note(f"volume {name}: snapshot {snapshot}, {len(changed)} changed")


def tell_end(record: RunRecord) -> None:
    """Say on stderr why it did not end by itself, and what was in its way."""
    if record.status != "exited":
        took = f" after {duration(record.duration_s)}" if record.duration_s else ""
        reason = f": {record.reason}" if record.reason else ""
        is_of_volume = record.reason and record.reason.startswith("quota_exceeded")  # says itself what to do
        hint = "" if is_of_volume else _HINTS.get(record.status, "")
        report(f"{record.status.replace('_', ' ')}{took}{reason}", hint)
    elif record.reason and not (record.refused and record.reason.startswith("it was refused")):  # told below
        note(f"hint: {record.reason}")
    for where, why in record.refused.items():
        note(f"hint: {where} was refused: {why}")
    if record.dropped_bytes:
        report(
            f"output_cut: {record.dropped_bytes} bytes in the middle of the output were not kept",
            "write large output into a volume, or raise daemon.log_max_bytes",
        )
