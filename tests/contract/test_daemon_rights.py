"""What a call cannot get: more than the policy grants, or anything of another principal."""

from collections.abc import Awaitable

import anyio
import pytest

from hutch.client import connect
from hutch_mcp_tools.run_records import LogRequest, RunRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.contract_cases import shows
from support.contract_column import Column
from support.contract_http import post
from support.daemon import run

pytestmark = pytest.mark.slow  # real sandboxes, by two users


@shows("daemon/widen")
@pytest.mark.parametrize(
    ("code", "values"),
    [
        ("network_denied", {"network": "full"}),
        ("network_denied", {"network": "anthropic"}),
        ("limit_exceeded", {"memory_bytes": 1 << 50}),
        ("limit_exceeded", {"pids": 1 << 30}),
        ("limit_exceeded", {"cpus": 1e6}),
        ("volume_invalid", {"volumes": [f"v{n}:/v{n}" for n in range(11)]}),
        ("volume_invalid", {"volumes": ["one:/v", "default/one:/w"]}),
        ("volume_invalid", {"volumes": ["one:/v", "$workspace/one:/w"]}),
        ("volume_invalid", {"volumes": ["one:/v", "two:/v/w"]}),
        ("volume_invalid", {"volumes": ["one:/home/agent/..", "two:/x"]}),
        ("env_invalid", {"env": {"A=B": "x"}}),
    ],
)
async def test_no_call_gets_more_than_the_policy_grants(
    sandbox: Column, code: str, values: dict[str, object]
) -> None:
    with pytest.raises(ServiceError) as refused:
        await sandbox.client.run(
            RunRequest.model_validate({"command": "true", "method": sandbox.method, **values}), 20
        )
    assert refused.value.code == code


@shows("daemon/principals")
async def test_of_another_principal_there_is_nothing_to_be_found(sandbox: Column) -> None:
    """Volumes, runs and sessions of others are like those that are not there; what is granted works."""
    ours = await sandbox.run("echo secret > /v/f; echo secret", volumes=["ours:/v"])
    kept = await sandbox.run("true", session_id="new", volumes=["public:/v"])
    made = await sandbox.client.create_token("guest")
    async with connect(sandbox.daemon.config, token=made.token) as guest:
        assert (await run(guest, "echo > /v/f", volumes=["guest-$args[n]:/v"], args={"n": 1})).exit_code == 0
        refusals: dict[str, list[Awaitable[object]]] = {
            "run_unknown": [
                guest.get_run(ours.run_id),
                guest.get_run(ours.run_id[:8]),
                guest.stop_run(ours.run_id),
                guest.read_log(LogRequest(run_id=ours.run_id, stream="stdout")),
            ],
            "session_unknown": [
                guest.get_session(kept.session_id or ""),
                guest.stop_session(kept.session_id or "", remove=True),
                run(guest, "cat /v/f", session_id=kept.session_id),
            ],
            "volume_unknown": [
                guest.read_volume(ReadVolumeRequest(volume="ours", path="/f")),
                guest.volume_log("default/ours"),
                guest.share_volume("ours", "guest", "rw"),
                run(guest, "cat /v/f", volumes=["ours:/v:ro"]),
                run(guest, "cat /v/f", volumes=["$args[n]:/v:ro"], args={"n": "ours"}),
            ],
            "volume_read_only": [run(guest, "echo > /v/g", volumes=["public:/v"])],
            "argument_invalid": [run(guest, "true", volumes=["guest-$args[n]"], args={"n": "x/../../ours"})],
            "owner_only": [guest.create_token("guest"), guest.list_tokens()],
        }
        for code, works in refusals.items():
            for work in works:
                with pytest.raises(ServiceError) as refused:
                    await work
                assert refused.value.code == code
        assert "ours" not in {one.name for one in await guest.list_volumes()}
        assert {one.principal for one in await guest.list_runs()} == {"guest"}
        assert (await guest.list_sessions()).sessions == []
    await sandbox.client.stop_session(kept.session_id or "")


@shows("daemon/principals")
async def test_a_token_that_is_not_valid_now_lets_nobody_in(sandbox: Column) -> None:
    expired = await sandbox.client.create_token("guest", 0.1)
    revoked = await sandbox.client.create_token("guest")
    assert await post(sandbox, Authorization=f"Bearer {revoked.token}") == 200
    await sandbox.client.revoke_token(revoked.token_id)
    await anyio.sleep(0.15)
    forged = f"{(revoked.token or '').rpartition('_')[0]}_{'A' * 43}"
    for token in (expired.token, revoked.token, forged, "guest", f"{sandbox.daemon.token[:-1]}"):
        for path in ("/api/list_runs", "/mcp"):
            assert await post(sandbox, path, Authorization=f"Bearer {token}") == 401
