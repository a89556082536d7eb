"""A model's host that the owner gives to a sandbox at work is metered there, or it is not given."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hutch.client import Client
from hutch_mcp_tools.network_records import NetworkChange
from hutch_mcp_tools.service import ServiceError
from support.daemon import daemon, model_config, output, run, scripted_model

pytestmark = pytest.mark.slow

BODY = '{{"model":"claude-opus-5-5","messages":[{{"role":"user","content":"hi"}}]}}'
ASK = (
    "curl -s -o /tmp/answer -w '%{{http_code}}\\n' --noproxy '' -x \"$HTTP_PROXY\""
    f" -H 'content-type: application/json' -d '{BODY}' {{url}}/v1/messages"
)
# Another model's, that everybody knows under a name, and one of the owner's own
OTHERS = """
[network.openai]
allow = []
host_services = ["{address}"]
metered = ["{url}"]

[network.near]
host_services = ["127.0.0.1:9"]

[policy]
networks = ["model", "near"]
"""


@asynccontextmanager
async def two_models(folder: Path) -> AsyncIterator[tuple[Client, str]]:
    """A daemon with one model in its network `model`, and another whose URL is told."""
    async with scripted_model() as url, scripted_model() as other:
        config = model_config(url) + OTHERS.format(url=other, address=other.removeprefix("http://"))
        async with daemon(folder, config) as house, house.client() as client:
            yield client, other


async def test_it_is_counted_and_bounded_as_if_it_had_been_there_from_the_start(tmp_path: Path) -> None:
    async with two_models(tmp_path / "d") as (client, other):
        first = await run(client, "true", session_id="new", network="model", budget_requests=1)
        session = first.session_id or ""
        address = other.removeprefix("http://")
        await client.change_network(session, NetworkChange(host=address, allowed=True, is_host_service=True))
        ask = ASK.format(url=other)
        record = await run(client, f"{ask}; {ask}", session_id=session)
        assert await output(client, record) == ("200\n400\n", "")
        (used,) = (await client.get_session(session)).metered
        assert (used.host, used.requests) == ("127.0.0.1", 1)


async def test_a_sandbox_that_was_started_without_any_model_is_given_none(tmp_path: Path) -> None:
    async with two_models(tmp_path / "d") as (client, other):
        session = (await run(client, "true", session_id="new", network="near")).session_id or ""
        address = other.removeprefix("http://")
        change = NetworkChange(host=address, allowed=True, is_host_service=True)
        with pytest.raises(ServiceError, match=f"{address} is metered") as refused:
            await client.change_network(session, change)
        assert refused.value.code == "network_unread"
        # Also where a wildcard has it: each connection there is refused
        with pytest.raises(ServiceError, match="is metered"):
            await client.change_network(session, NetworkChange(host="api.anthropic.com", allowed=True))
        await client.change_network(session, NetworkChange(host="*.anthropic.com", allowed=True))
        ask = 'curl -sS --noproxy "" -x "$HTTP_PROXY" https://api.anthropic.com/v1/models'
        record = await run(client, ask, session_id=session)
        assert record.exit_code
        (refusal,) = await client.network_log(record.run_id)
        assert (refusal.host, refusal.refused) == ("api.anthropic.com", "unread")
