"""`hutch job`: one document that says everything about a run, taken to its end without a daemon."""

import sys
from pathlib import Path

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import note

# \b: click keeps the lines as they are
_EXAMPLES = """\b
Examples:
  hutch job run job.json > events.jsonl
  echo '{"version": 1, "run": {"command": ["make", "test"], "volumes": ["web"]}}' | hutch job run -
"""


@click.group()
def job() -> None:
    """Runs that one document says everything about."""


@job.command(short_help="Take a job to its end, without a daemon.", epilog=_EXAMPLES)
@click.argument("spec", metavar="SPEC.json", type=click.Path(path_type=Path))
@click.pass_obj
def run(invocation: Invocation, /, *, spec: Path) -> int:
    """Take the job in SPEC.json, or "-" for standard input, to its end on this machine, without a daemon.

    What happens is told on standard output, a JSON document a line; docs/jobs.md has the form of both. It
    exits as the command did.
    """
    source = "standard input" if str(spec) == "-" else str(spec)
    if sys.stderr.isatty():  # what it needs takes a second to be there
        note(f"taking the job in {source}; what happens is told as lines of JSON")
    import anyio

    from hutch.errors import HutchError
    from hutch.jobs import configuration_of, read_job
    from hutch.runner.here import run_here

    try:
        data = sys.stdin.buffer.read() if str(spec) == "-" else spec.read_bytes()
    except OSError as error:
        hint = 'name a file, or "-" for standard input; docs/jobs.md has its form'
        raise HutchError("job_invalid", f"{source}: cannot be read: {error.strerror}", hint) from None
    given = read_job(data, source)
    config = configuration_of(given, invocation.config.document, invocation.env, source)
    return anyio.run(run_here, given, config)
