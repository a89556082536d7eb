"""Secrets, as the host sees them: at rest nowhere, and in requests only where they belong."""

import os
from pathlib import Path
from typing import Any

import pytest

from hutch_mcp_tools.run_records import RunRequest
from support.contract_cases import shows
from support.contract_column import ORDINARY_USER, ROOT_USER, Column, home_of, who
from support.contract_host import command_lines_with
from support.daemon import daemon, output, run
from support.exchange_world import Server
from support.planted import found_below
from support.secret_host import PLANTED, secret_host

pytestmark = pytest.mark.slow  # real sandboxes, by two users


@shows("secrets/at-rest")
async def test_no_planted_secret_is_in_any_command_line_log_database_or_store(sandbox: Column) -> None:
    given = f"given-{sandbox.stage.secret}"
    command = "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'; echo \"$TOKEN\" | cut -c1-5; sleep 1"
    record = await sandbox.client.run(_request(sandbox, command, {"TOKEN": given}), 0)
    seen: list[bytes] = []
    while not record.is_ended:
        seen += command_lines_with(given)
        record = await sandbox.client.get_run(record.run_id, 0.05)
    stdout, _ = await sandbox.output(record)
    assert stdout.endswith("given\n")  # it did arrive inside
    assert seen == []
    for folder in (sandbox.daemon.config.daemon.state, sandbox.daemon.config.daemon.cache):
        assert found_below(folder, word=sandbox.stage.secret.encode()) == []
    assert sandbox.stage.secret not in sandbox.daemon.log()
    assert sandbox.stage.secret not in record.model_dump_json()


@pytest.mark.parametrize("user", [ROOT_USER, ORDINARY_USER])
@shows("secrets/placeholders")
async def test_a_placeholder_is_worth_something_in_its_place_toward_its_host_and_in_its_run(
    user: str, tmp_path: Path
) -> None:
    found = who(user)
    bound, other = Server(headers=[("Content-Length", "5")]), Server(headers=[("Content-Length", "5")])
    with home_of(found) as home:
        (home / "d").mkdir()
        os.chown(home / "d", found.uid, found.uid)
        async with (
            secret_host(home, bound) as host,
            secret_host(tmp_path, other) as elsewhere,
            daemon(
                home / "d",
                host.config(more=elsewhere.network("elsewhere")).replace('["near"]', '["near", "elsewhere"]'),
                env={**found.env, **host.env},
                python=found.python if found.prefix else (),
            ) as made,
            made.client() as client,
        ):
            asked = f'curl -sk -H "x-api-key: $KEY" {host.url}/right'
            misplaced = f'curl -sk -H "x-other: $KEY" {host.url}/misplaced'
            away = f'curl -sk -H "x-api-key: $KEY" {elsewhere.url}/away'
            values: dict[str, Any] = {"network": "near,elsewhere", "secrets": ["key"]}
            record = await run(
                client, f"{asked}; {misplaced}; {away}; echo; cat /proc/*/environ; env", **values
            )
            told, _ = await output(client, record)
            phantom = other.seen[0].headers["x-api-key"]
            assert [seen.headers.get("x-api-key") for seen in bound.seen] == [PLANTED, None]
            assert bound.seen[1].headers["x-other"] == phantom
            assert told.startswith("hello" * 3)
            assert phantom in told
            assert PLANTED not in told
            again = asked.replace("$KEY", phantom)
            record = await run(client, f"{again} -w %{{http_code}}", **values)
            assert (await output(client, record))[0].endswith("403")
            assert len(bound.seen) == 2
        assert found_below(home, word=PLANTED.encode()) == []


def _request(made: Column, command: str, env: dict[str, str]) -> RunRequest:
    return RunRequest(command=["/bin/bash", "-c", command], env=env, method=made.method)
