"""`hutch token`: the daemon's own token, and those of the principals of the configuration."""

import json
from datetime import UTC, datetime

import click

from hutch.cli import kinds
from hutch.cli.invocation import Invocation
from hutch.cli.output import age, duration, json_option, note, print_json, print_table
from hutch_mcp_tools.access_records import TokenRecord


@click.group(invoke_without_command=True)
@click.option(
    "--headers", is_flag=True, help="As a JSON object of HTTP headers, for a client's headers helper."
)
@click.pass_context
def token(context: click.Context, /, *, headers: bool) -> None:
    """Print the daemon's bearer token. Whoever has it may do what you may do with Hutch.

    The commands make and end tokens of principals, who may do what the configuration grants them.
    """
    if context.invoked_subcommand is not None:
        return
    from hutch.client import read_token, token_path

    text = read_token(token_path(context.find_object(Invocation).config))  # type: ignore[union-attr]
    print(json.dumps({"Authorization": f"Bearer {text}"}) if headers else text)


@token.command()
@click.argument("name")
@click.option("--expires", type=kinds.duration, metavar="TIME", help="End it after this time: 12h, 30d.")
@json_option
@click.pass_obj
def create(invocation: Invocation, /, *, name: str, expires: float | None, as_json: bool) -> None:
    """Make a token for the principal NAME and print it, this once."""
    record = invocation.call(lambda service: service.create_token(name, expires))
    if as_json:
        print_json(record)
        return
    print(record.token)
    note(f"it is not shown again; end it with: hutch token revoke {record.token_id}")


@token.command()
@json_option
@click.pass_obj
def ls(invocation: Invocation, /, *, as_json: bool) -> None:
    """List the tokens of principals, newest first."""
    records = invocation.call(lambda service: service.list_tokens())
    if as_json:
        print_json(records)
        return
    rows = ((one.token_id, one.principal, age(one.created_at), _state(one)) for one in records)
    print_table(("ID", "PRINCIPAL", "AGE", "STATE"), rows)


@token.command()
@click.argument("token_id", metavar="ID")
@json_option
@click.pass_obj
def revoke(invocation: Invocation, /, *, token_id: str, as_json: bool) -> None:
    """End a token: whoever has it is refused from the next request on."""
    record = invocation.call(lambda service: service.revoke_token(token_id))
    if as_json:
        print_json(record)
    else:
        note(f"token {record.token_id} of {record.principal} is revoked")


def _state(record: TokenRecord) -> str:
    if record.revoked_at is not None:
        return "revoked"
    if record.expires_at is None:
        return "valid"
    left = (record.expires_at - datetime.now(UTC)).total_seconds()
    return f"valid for {duration(left)}" if left > 0 else "expired"
