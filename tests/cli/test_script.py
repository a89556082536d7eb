"""`hutch run SCRIPT`: what a head asks for becomes a request, and what is typed comes first."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hutch_mcp_tools.run_records import RunRequest
from support.mcp_service import FakeService

HEAD = """#!/usr/bin/env python3
# sandbox: docker
# volume: $workspace-$args[user.id] .agent
# volume: models /models ro
# network: python api.example.org
# network: github, *.example.net:8443
# secret: tracker, other:env
# env: A=1, 2
# env: B=3
# workspace: data:ro
# timeout: 15m
# memory: 2GiB
# budget-usd: 1.5
# pause-at-budget:
def main(user): ...
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    path = tmp_path / "job.py"
    path.write_text(HEAD)
    return path


def asked(service: FakeService) -> RunRequest:
    (request,) = service.requests
    assert isinstance(request, RunRequest)
    return request


@pytest.fixture
def hutch_run(
    hutch: Callable[..., int], service: FakeService, capfd: pytest.CaptureFixture[str]
) -> Callable[..., RunRequest | str]:
    """The request that a call makes, or why it makes none."""

    class AskedError(Exception):
        pass

    async def run(request: RunRequest, *_: object) -> None:
        service.requests.append(request)
        raise AskedError

    service.run = run  # type: ignore[assignment, method-assign]

    def call(*words: object) -> RunRequest | str:
        try:
            hutch("run", *words)
        except AskedError:
            return asked(service)
        return capfd.readouterr().err

    return call


Call = Callable[..., RunRequest | str]


def test_a_head_is_the_options_that_it_stands_for(hutch_run: Call, script: Path) -> None:
    request = hutch_run(script, "--arg", 'user:={"id": "ada"}')
    assert isinstance(request, RunRequest)
    assert request.script is not None
    assert (request.script.name, request.script.text) == ("job.py", HEAD)
    assert request.method == "docker"
    assert request.volumes == ["$workspace-$args[user.id]:/workspace/.agent", "models:/models:ro"]
    assert request.args == {"user": {"id": "ada"}}
    assert request.network == "python,github,allow:api.example.org,allow:*.example.net:8443"
    assert request.secrets == ["tracker", "other:env"]
    assert request.env == {"A": "1, 2", "B": "3"}
    assert request.workspace == f"{script.parent}/data:ro"
    assert (request.timeout_s, request.memory_bytes) == (900, 2 << 30)
    assert (request.budget_usd, request.pause_at_budget) == (1.5, True)


def test_what_is_typed_comes_before_what_the_head_says(hutch_run: Call, script: Path) -> None:
    words = "--net none --method pid --timeout 1m --env A=9 --secret third -v mine:/models -v more:/more"
    request = hutch_run("--memory", "1GiB", script, "--arg", 'user:={"id": 7}', *words.split())
    assert isinstance(request, RunRequest)
    assert (request.network, request.method, request.timeout_s) == ("none", "pid", 60)
    assert request.memory_bytes == 1 << 30
    assert request.env == {"A": "9", "B": "3"}
    assert request.secrets == ["tracker", "other:env", "third"]
    assert request.volumes == ["$workspace-$args[user.id]:/workspace/.agent", "mine:/models", "more:/more"]


def test_paths_of_volumes_begin_where_the_script_does(hutch_run: Call, tmp_path: Path) -> None:
    path = tmp_path / "x.sh"
    path.write_text("# sandbox\n# volume: agent-state .agent\n")
    request = hutch_run(path)
    assert isinstance(request, RunRequest)
    assert request.volumes == ["agent-state:/home/agent/.agent"]


def test_arguments_come_from_a_file_and_single_ones_are_typed_over_them(
    hutch_run: Call, script: Path
) -> None:
    file = script.with_suffix(".json")
    file.write_text('{"user": {"id": "bob"}, "n": 1}')
    request = hutch_run(script, "--args-json", file, "--arg", "n:=2")
    assert isinstance(request, RunRequest)
    assert request.args == {"user": {"id": "bob"}, "n": 2}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("memory: much", "job.py:2: 'much' is not a size"),
        ("memory:", "job.py:2: 'memory' says nothing"),
        ("pids: 0", "job.py:2: 0 is not in the range"),
        ("workspace: nowhere", "job.py:2: "),
        ("pause-at-budget: yes", "job.py:2: 'pause-at-budget' takes nothing"),
        ("sandbox: a b", "job.py:2: a method is one word"),
        ("volume: x", "job.py:2: 'x' is no volume"),
        ("volume: x y rx", "job.py:2: 'x y rx' is no volume"),
        ("volume: x:y z", "job.py:2: 'x:y z' is no volume"),
        ("volume: -x y", "volume_name_invalid: job.py:2: "),
        ("volume: xx /etc", "volume_invalid: job.py:2: "),
        ("volume: xx ../y", "volume_invalid: job.py:2: "),
        ("volume: $args[no] y", "argument_invalid: job.py:2: "),
        ("volume: $other y", "template_invalid: job.py:2: "),
        ("session: s-1", "job.py:2: 'session' is no annotation"),
        ("json:", "job.py:2: 'json' is no annotation"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(hutch_run: Call, script: Path, line: str, said: str) -> None:
    script.write_text(f"# sandbox\n# {line}\ndef main(): ...\n")
    found = hutch_run(script)
    assert isinstance(found, str)
    assert said in found


def test_what_is_said_twice_is_refused(hutch_run: Call, script: Path) -> None:
    script.write_text("# sandbox: a\n# sandbox: b\n")
    assert "job.py:2: 'sandbox' is said twice" in str(hutch_run(script))


def test_a_script_asks_for_something_and_takes_no_words(hutch_run: Call, script: Path) -> None:
    assert "by name: --arg" in str(hutch_run(script, "word"))
    script.write_text("print(1)\n")
    assert "job.py asks for nothing at its head" in str(hutch_run(script))
    script.write_bytes(b"# sandbox\n\xff")
    assert "is not UTF-8" in str(hutch_run(script))
    script.write_bytes(b"#" * ((1 << 20) + 1))
    assert "over 1 MiB" in str(hutch_run(script))


def test_behind_two_dashes_it_is_a_command(hutch_run: Call, script: Path) -> None:
    request = hutch_run("-v", "x", "--", script, "--json")
    assert isinstance(request, RunRequest)
    assert (request.script, request.command) == (None, [str(script), "--json"])


def test_an_agent_goes_with_a_script(hutch_run: Call, script: Path) -> None:
    assert "--agent goes with a script" in str(hutch_run("--agent", "claude", "--", "true"))
    script.write_text("# agent: claude\n")
    request = hutch_run(script)
    assert isinstance(request, RunRequest)
    assert request.agent == "claude"
