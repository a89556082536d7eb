"""`hutch serve` and `hutch mcp`: the daemon itself, and its MCP tools over stdio."""

import click

from hutch.cli.invocation import Invocation
from hutch.cli.kinds import token_in, token_option


@click.command()
@click.pass_obj
def serve(invocation: Invocation, /) -> None:
    """Run the daemon in the foreground, until it is interrupted.

    It serves MCP at /mcp and its state at /health on loopback, and the command line on a unix socket.
    """
    import anyio

    from hutch import app
    from hutch.runner.server import runner_server
    from hutch.runs.upkeep.storage import prepare

    config = invocation.config
    prepare(config)
    with runner_server() as server:
        anyio.run(app.serve, config, server)


@click.command()
@token_option
@click.pass_obj
def mcp(invocation: Invocation, /, *, token_env: str | None) -> None:
    """Serve the MCP tools over stdin and stdout; starts the daemon when none runs."""
    token = token_in(invocation.env, token_env)
    import anyio

    from hutch import app
    from hutch.errors import unwrapped

    with unwrapped():
        anyio.run(app.serve_stdio, invocation.config, token)
