"""A policy as it holds in a real sandbox: host folders, what is never shown, tiers, repositories."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from hutch_mcp_tools.service import ServiceError
from support.daemon import Daemon, daemon
from support.streams import LONG_S

pytestmark = pytest.mark.real("bubblewrap")

CONFIG = """
[policy]
readable = ["{home}/shown"]
writable = ["{home}/open"]
workspaces = ["{home}"]
denied = ["{home}/more/private", "{home}/open/private*", "{home}/open/*/private*"]
networks = ["somewhere"]
[network.somewhere]
host_services = ["127.0.0.1:1"]
[methods.bubblewrap]
readable = ["{home}/more"]
[principals.ci]
volumes = {{"*" = "rw"}}
tiers = ["offline", "review"]
"""
FILES = {
    "shown/a": "a",
    "more/b": "b",
    "more/private/key": "SECRET-METHOD",
    "shown/.aws/credentials": "no credentials of a home here",
    "open/deep/private-1/key": "SECRET-DENIED",
    "open/private-2": "SECRET-DENIED",
    ".ssh/id_ed25519": "SECRET-KEY",
    ".config/gcloud/token": "SECRET-CLOUD",
    ".npmrc": "SECRET-NPM",
    ".claude.json": "SECRET-AGENT",
    "dotfiles/kube/config": "SECRET-KUBE",
    "src/web/main.py": "print()",
    "src/web/.hutch.toml": 'tier = "offline"\ndenied = ["keys", "*.pem"]\n[limits]\npids = 100\n',
    "src/web/keys/one": "SECRET-REPOSITORY",
    "src/web/tls.pem": "SECRET-REPOSITORY",
    "src/bad/.hutch.toml": "[limits]\nmemory = '1TiB'\n",
    "src/plain/x": "x",
}


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Daemon]:
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("daemon")
    for name, text in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    (home / ".kube").symlink_to(home / "dotfiles/kube")
    (home / "src/linked").mkdir()
    (home / "src/linked/.hutch.toml").symlink_to("../web/.hutch.toml")
    (home / "src/pipe").mkdir()
    os.mkfifo(home / "src/pipe/.hutch.toml")
    async with daemon(folder, CONFIG.format(home=home), env={"HOME": str(home)}) as running:
        yield running


@pytest.fixture
async def client(house: Daemon) -> AsyncGenerator[Client]:
    async with house.client() as connected:
        yield connected


async def run(client: Client, command: str, **more: object) -> tuple[RunRecord, str]:
    record = await client.run(RunRequest.model_validate({"command": command, **more}), 45)
    return record, await output(client, record)


async def output(client: Client, record: RunRecord) -> str:
    from base64 import b64decode

    from hutch_mcp_tools.run_records import LogRequest

    parts = [await client.read_log(LogRequest(run_id=record.run_id, stream=s)) for s in ("stdout", "stderr")]
    return "".join(b64decode(part.data_base64).decode() for part in parts)


async def test_host_folders_are_there_at_their_own_paths(client: Client, house: Daemon) -> None:
    home = Path(house.env["HOME"])
    _, out = await run(client, f"cat {home}/shown/a; echo x > {home}/shown/b; echo new > {home}/open/new")
    assert out.startswith("a")
    assert "Read-only file system" in out
    assert (home / "open/new").read_text() == "new\n"
    assert not (home / "shown/b").exists()


async def test_credentials_are_never_shown_below_a_granted_folder(client: Client, house: Daemon) -> None:
    home = Path(house.env["HOME"])
    script = (
        f"cd /workspace; ls -A; cat $(find . -type f) 2>/dev/null | grep -a SECRET; "
        f"grep -ra SECRET {home}/open; ls -A .ssh .kube/"
    )
    record, out = await run(client, script, workspace=str(home))
    assert "SECRET-KEY" not in out
    assert [line for line in out.splitlines() if "SECRET" in line and "REPOSITORY" not in line] == []
    assert "main.py" not in record.reason
    hidden = record.policy["granted"]["hidden"]  # type: ignore[index]
    for place in (".ssh", ".config/gcloud", ".npmrc", ".claude.json", "dotfiles/kube"):
        assert f"/workspace/{place}" in hidden
    assert f"{home}/open/private-2" in hidden


async def test_what_a_method_shows_is_without_what_is_denied(client: Client, house: Daemon) -> None:
    more = Path(house.env["HOME"]) / "more"
    record, out = await run(client, f"cat {more}/b; ls -A {more}/private")
    assert (record.exit_code, out) == (0, "b")


async def test_under_review_too_nothing_denied_is_shown(client: Client, house: Daemon) -> None:
    home = Path(house.env["HOME"])
    script = "ls -A .ssh; cat .npmrc; mv .config .other; cat .other/gcloud/token; echo changed > dotfiles/new"
    record, out = await run(client, script, workspace=str(home), tier="review")
    assert record.workspace["mode"] == "review"
    assert "SECRET" not in out
    assert not (home / "dotfiles/new").exists()


async def test_what_is_denied_cannot_be_renamed_into_sight(client: Client, house: Daemon) -> None:
    home = Path(house.env["HOME"])
    _, out = await run(
        client,
        f"mv {home}/open/private-2 {home}/open/seen; mv {home}/open/deep {home}/open/up; ls -A {home}/open",
    )
    assert out.count("busy") >= 1
    assert "seen" not in out.splitlines()
    assert (home / "open/private-2").read_text() == "SECRET-DENIED"


@pytest.mark.parametrize("place", [".ssh", ".config/gcloud", "dotfiles/kube", "open/private-2"])
async def test_what_is_denied_cannot_be_asked_for(client: Client, house: Daemon, place: str) -> None:
    with pytest.raises(ServiceError) as refused:
        await run(client, "ls", workspace=str(Path(house.env["HOME"]) / place))
    assert refused.value.code == "path_denied"


async def test_a_repository_narrows_its_own_policy(client: Client, house: Daemon) -> None:
    file = Path(house.env["HOME"]) / "src/web/.hutch.toml"
    record, out = await run(
        client, "cat keys/* *.pem; cat main.py", workspace=str(Path(house.env["HOME"]) / "src/web")
    )
    assert "SECRET" not in out
    assert "print()" in out
    assert record.policy["granted"]["limits"]["pids"] == 100  # type: ignore[index]
    assert f"{file}: denied keys" in record.policy["narrowed"]  # type: ignore[operator]
    assert "tier offline: network none" in record.policy["narrowed"]  # type: ignore[operator]
    for more, code in (({"network": "somewhere"}, "network_denied"), ({"pids": 101}, "limit_exceeded")):
        with pytest.raises(ServiceError) as refused:
            await run(client, "id", workspace=str(Path(house.env["HOME"]) / "src/web"), **more)
        assert refused.value.code == code


async def test_a_part_of_a_repository_is_under_its_word_too(client: Client, house: Daemon) -> None:
    with pytest.raises(ServiceError) as refused:
        await run(client, "id", workspace=str(Path(house.env["HOME"]) / "src/web/keys"), network="somewhere")
    assert refused.value.code == "network_denied"
    with pytest.raises(ServiceError) as hidden:
        await run(client, "cat one", workspace=str(Path(house.env["HOME"]) / "src/web/keys"))
    assert hidden.value.code == "path_denied"


@pytest.mark.parametrize(
    ("folder", "code"),
    [
        ("bad", "repository_widens"),
        ("linked", "repository_file_invalid"),
        ("pipe", "repository_file_invalid"),
    ],
)
async def test_a_repository_that_widens_or_cheats_starts_nothing(
    client: Client, house: Daemon, folder: str, code: str
) -> None:
    with pytest.raises(ServiceError) as refused:
        await run(client, "id", workspace=str(Path(house.env["HOME"]) / "src" / folder))
    assert refused.value.code == code
    assert ".hutch.toml" in refused.value.message


async def test_a_tier_takes_away_what_it_says(client: Client, house: Daemon) -> None:
    home = Path(house.env["HOME"])
    _, out = await run(client, f"echo x > {home}/open/by-review", tier="review")
    assert "Read-only" in out
    with pytest.raises(ServiceError) as refused:
        await run(client, "id", tier="offline", network="somewhere")
    assert refused.value.code == "network_denied"
    with pytest.raises(ServiceError) as unknown:
        await run(client, "id", tier="ofline")
    assert unknown.value.code == "tier_unknown"


async def test_a_principal_is_held_to_its_tiers(client: Client, house: Daemon) -> None:
    from hutch.client import connect

    token = (await client.create_token("ci")).token
    async with connect(house.config, token=token) as ci:
        record, _ = await run(ci, "id")
        assert record.policy["requested"]["tier"] == "offline"  # type: ignore[index]
        with pytest.raises(ServiceError) as refused:
            await run(ci, "id", tier="online")
    assert refused.value.code == "tier_denied"


async def test_a_kept_sandbox_stays_under_its_tier(client: Client) -> None:
    record, _ = await run(client, "id", tier="review", session_id="new")
    with pytest.raises(ServiceError) as refused:
        await run(client, "id", tier="online", session_id=record.session_id)
    assert refused.value.code == "session_invalid"
    await client.stop_session(record.session_id or "")


async def test_a_command_in_a_kept_sandbox_is_its_last_work(client: Client) -> None:
    first, _ = await run(client, "id", session_id="new")
    second, _ = await run(client, "id", session_id="new")
    ids = [second.session_id, first.session_id]
    assert [one.session_id for one in (await client.list_sessions(limit=2)).sessions] == ids
    await run(client, "id", session_id=first.session_id)
    with anyio.fail_after(LONG_S):
        while [one.session_id for one in (await client.list_sessions(limit=2)).sessions] == ids:
            await anyio.sleep(0.02)
    for session_id in ids:
        await client.stop_session(session_id or "")
    assert {one.status for one in (await client.list_sessions(limit=2)).sessions} == {"ended"}


def test_nothing_is_left_in_granted_folders(house: Daemon) -> None:
    left = sorted(path.name for path in Path(house.env["HOME"], "src").iterdir())
    assert left == ["bad", "linked", "pipe", "plain", "web"]
