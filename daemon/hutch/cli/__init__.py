"""The `hutch` command: one noun a module, loaded when it is asked for, so that `hutch --help` is quick."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from hutch import __version__
from hutch.cli.invocation import Invocation
from hutch.cli.lazy import LazyGroup, ReaderGoneError
from hutch.cli.refusal import report
from hutch.errors import HutchError
from hutch.exit_codes import FAILED, INTERRUPTED, PIPE_CLOSED, USAGE, exit_code_of

SECTIONS = {
    "Work": {
        "run": ("hutch.cli.run:run", "Run a command in a sandbox."),
        "agent": ("hutch.cli.agent:agent", "Give an agent a task in a sandbox."),
        "compare": ("hutch.cli.compare:compare", "Look at the attempts of agent --forks side by side."),
        "keep": ("hutch.cli.keep:keep", "Make one of them the volume's next state."),
        "sessions": ("hutch.cli.sessions:sessions", "List the sessions."),
        "ps": ("hutch.cli.runs:ps", "List the runs that work now."),
        "show": ("hutch.cli.runs:show", "Show the record of a run or session."),
        "logs": ("hutch.cli.logs:logs", "Print what a run has written."),
        "stop": ("hutch.cli.stop:stop", "End a run or session."),
        "ui": ("hutch.cli.ui:ui", "Open the page, which shows what is at work."),
    },
    "Files": {
        "volume": ("hutch.cli.volume:volume", "Look into volumes and their history."),
        "diff": ("hutch.cli.changes:diff", "Show what a sandbox changed in a workspace under review."),
        "apply": ("hutch.cli.changes:apply", "Make its changes in the real folder."),
        "discard": ("hutch.cli.changes:discard", "Forget its changes."),
    },
    "This host": {
        "doctor": ("hutch.cli.doctor:doctor", "Say what works on this host, and how to mend what does not."),
    },
    "Needed less often": {
        "suspend": ("hutch.cli.runs:suspend", "Hold a run or session still."),
        "resume": ("hutch.cli.runs:resume", "Let a suspended run or session go on."),
        "job": ("hutch.cli.job:job", "Take a run that one document describes, without a daemon."),
        "init": ("hutch.cli.init:init", "Write a script that works, to begin with."),
        "method": ("hutch.cli.method:method", "Look at the sandbox methods, and attack one."),
        "connect": ("hutch.cli.connect:connect", "Print how to add Hutch to an MCP client."),
        "net": ("hutch.cli.net:net", "See what went out of sandboxes; change what they reach."),
        "secret": ("hutch.cli.secret:secret", "Have values that sandboxes use and never see."),
        "token": ("hutch.cli.token:token", "Print the daemon's bearer token; make and end others'."),
        "serve": ("hutch.cli.daemon:serve", "Run the daemon in the foreground."),
        "mcp": ("hutch.cli.daemon:mcp", "Serve MCP over stdin and stdout."),
    },
}
COMMANDS = {name: found for section in SECTIONS.values() for name, found in section.items()}


@click.group(
    cls=LazyGroup,
    commands_at=COMMANDS,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="hutch")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="The configuration's file.")
@click.pass_context
def hutch(context: click.Context, config: Path | None) -> None:
    """A home for coding agents on a machine you own: isolated, persistent, resumable."""
    invocation = context.obj or Invocation()
    context.obj = replace(invocation, file=config or invocation.file)
    if invocation.env.get("NO_COLOR"):
        context.color = False


def main(arguments: Sequence[str] | None = None, invocation: Invocation | None = None) -> int:
    """Run the command line; return its exit code. Every error ends here as `error: …` and `hint: …`."""
    try:
        code = hutch.main(arguments, prog_name="hutch", standalone_mode=False, obj=invocation)
        sys.stdout.flush()  # here, where it may still fail
    except (ReaderGoneError, BrokenPipeError):
        _drop_what_is_buffered()
        return PIPE_CLOSED
    except click.ClickException as error:
        _tell_usage(error)
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except HutchError as error:
        report(f"{error.code}: {error.message}", error.hint)
        return exit_code_of(error.code)
    except OSError as error:  # a file of this host that cannot be read or written
        where = f"{error.filename}: " if error.filename else ""
        report(f"host_failed: {where}{error.strerror or error}", "see: hutch doctor")
        return FAILED
    return code if isinstance(code, int) else 0


def _tell_usage(error: click.ClickException) -> None:
    context = getattr(error, "ctx", None)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(error.format_message(), file=sys.stderr)
    else:
        report(
            " ".join(error.format_message().split()),
            f"{context.command_path} --help" if context else "hutch --help",
        )


def _drop_what_is_buffered() -> None:
    """Nobody reads any more: Python would say so on its way out."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
