"""Secrets, as the host sees them: what was planted is at rest nowhere."""

import pytest

from hutch_mcp_tools.service import RunRequest
from support.contract_cases import shows
from support.contract_column import Column
from support.contract_host import command_lines_with

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
        for path in folder.rglob("*"):
            if path.is_file():
                assert sandbox.stage.secret.encode() not in path.read_bytes(), path
    assert sandbox.stage.secret not in sandbox.daemon.log()
    assert sandbox.stage.secret not in record.model_dump_json()


def _request(made: Column, command: str, env: dict[str, str]) -> RunRequest:
    return RunRequest(command=["/bin/bash", "-c", command], env=env, method=made.method)
