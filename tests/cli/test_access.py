"""Tokens of principals, shares of volumes, arguments of runs: as they are typed and as they are told."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import click
import pytest

from hutch.cli import kinds, main
from hutch.cli.arguments import arguments
from hutch.cli.invocation import Invocation
from hutch.config import Config
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import SandboxService
from support.mcp_service import FakeService, fake_service

Hutch = Callable[..., int]
Captured = pytest.CaptureFixture[str]


def test_a_token_is_printed_once_and_alone(hutch: Hutch, service: FakeService, capfd: Captured) -> None:
    assert hutch("token", "create", "ci", "--expires", "30d") == 0
    told = capfd.readouterr()
    assert told.out == "hutch_token0_secret\n"  # as $(hutch token create ci) takes it
    assert "hutch token revoke token0" in told.err
    (record,) = service.tokens.values()
    assert record.expires_at is not None
    assert (record.expires_at - record.created_at).days == 30
    for words in (("token", "ls"), ("token", "ls", "--json"), ("token", "revoke", "token0")):
        assert hutch(*words) == 0
        shown = capfd.readouterr()
        assert "secret" not in shown.out + shown.err
    assert hutch("token", "ls") == 0
    assert capfd.readouterr().out.splitlines()[1].split()[:2] == ["token0", "ci"]


def test_what_is_wrong_with_a_token_is_said(hutch: Hutch, capfd: Captured) -> None:
    assert hutch("token", "create", "nobody") == 1
    assert capfd.readouterr().err.startswith("error: principal_unknown: ")
    assert hutch("token", "revoke", "nothing") == 1
    assert capfd.readouterr().err.startswith("error: token_unknown: ")
    assert hutch("token", "create", "ci", "--expires", "soon") == 2


def test_the_state_of_each_token_is_told(hutch: Hutch, capfd: Captured) -> None:
    for expires in ((), ("--expires", "1s"), ("--expires", "9000d")):
        hutch("token", "create", "ci", *expires)
    hutch("token", "create", "ci")
    hutch("token", "revoke", "token3")
    capfd.readouterr()
    assert hutch("token", "ls") == 0
    states = [line.rsplit("  ", 1)[-1].strip() for line in capfd.readouterr().out.splitlines()[1:]]
    assert (states[0], states[1], states[3]) == ("valid", "expired", "revoked")
    assert states[2].startswith("valid for ")


def test_a_volume_is_shared_and_it_is_told_with_whom(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    assert hutch("volume", "share", "web", "ci", "rw") == 0
    assert hutch("volume", "share", "web", "--json") == 0
    assert service.shares == {"web": {"ci": "rw"}}
    out = capfd.readouterr().out
    assert out.splitlines()[0].split() == ["PRINCIPAL", "MAY"]
    assert json.loads(out[out.index("[") :]) == [{"principal": "ci", "level": "rw"}]
    assert hutch("volume", "share", "web", "ci") == 2
    assert hutch("volume", "share", "web", "ci", "write") == 2


# Arguments ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("user=ada", ("user", "ada")),
        ("user=", ("user", "")),
        ("user=a=b:=c", ("user", "a=b:=c")),
        ("n=42", ("n", "42")),
        ("n:=42", ("n", 42)),
        ('user:={"id": [1, null]}', ("user", {"id": [1, None]})),
        ("a-b_1=two\nlines", ("a-b_1", "two\nlines")),
    ],
)
def test_an_argument_is_text_or_json(text: str, value: tuple[str, object]) -> None:
    assert kinds.argument(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "=", "user", "a b=c", "a.b=c", "é=c", "n:=", "n:=NaN", "n:={", "n:=" + "[" * 100_000],
)
def test_what_is_no_argument_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        kinds.argument(text)


def test_an_argument_is_given_once() -> None:
    assert arguments([("a", 1), ("b", 1)]) == {"a": 1, "b": 1}
    with pytest.raises(click.UsageError, match="--arg a is given twice"):
        arguments([("a", 1), ("a", 1)])


def test_a_run_is_asked_for_with_its_arguments(tmp_path: Path) -> None:
    asked: list[RunRequest] = []

    @asynccontextmanager
    async def connect(_: Config) -> AsyncGenerator[SandboxService]:
        async with fake_service() as service:
            yield service
            asked.extend(one for one in service.requests if isinstance(one, RunRequest))

    words = ["run", "-v", "n-$args[u.id]:/n", "--arg", 'u:={"id": 7}', "--arg", "x=y", "--", "true"]
    assert main(words, Invocation(env={"HOME": str(tmp_path)}, connect=connect)) == 0
    assert (asked[0].volumes, asked[0].args) == (["n-$args[u.id]:/n"], {"u": {"id": 7}, "x": "y"})


def test_stdio_with_the_token_of_a_variable_needs_the_variable(tmp_path: Path, capfd: Captured) -> None:
    for env in ({}, {"EVES": ""}, {"EVES": "  "}):
        given = Invocation(env={"HOME": str(tmp_path), **env})
        assert main(["mcp", "--token-env", "EVES"], given) == 2
        assert "EVES is not set" in capfd.readouterr().err
