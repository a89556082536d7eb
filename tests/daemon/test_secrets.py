"""Secrets in real sandboxes: used there by real clients, and there to be found nowhere."""

import shutil
import subprocess
from pathlib import Path

import pytest

from hutch.client import connect
from hutch_mcp_tools.service import ServiceError
from support.container_engines import start_engine
from support.contract_methods import METHODS
from support.daemon import daemon, output, run
from support.exchange_world import Server
from support.kept_methods import named
from support.needs import need
from support.planted import WAIT, found_below
from support.secret_host import PLANTED, Files, secret_host
from support.secret_search import looked_into

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
]  # memory is searched byte by byte, on busy machines too


def hello() -> Server:
    return Server(headers=[("Content-Length", "5")])


async def test_a_command_uses_a_secret_that_it_never_has(tmp_path: Path) -> None:
    async with (
        secret_host(tmp_path, server := hello()) as host,
        daemon(tmp_path / "d", host.config(), env=host.env) as house,
        house.client() as client,
    ):
        command = f'curl -sS -H "x-api-key: $KEY" {host.url}/v1; echo; env; {WAIT}'
        record = await looked_into(run(client, command, network="near", secrets=["key"]))
        assert record.exit_code == 0
        assert f"key: header x-api-key at localhost:{host.port}" in record.model_dump_json()
        told, _ = await output(client, record)
        assert told.startswith("hello\n")
        assert server.seen[0].headers["x-api-key"] == PLANTED
        assert PLANTED not in told + record.model_dump_json()
        (used,) = await client.network_log(record.run_id)
        assert (used.host, used.secrets, used.refused) == ("localhost", ("key",), None)
    assert found_below(tmp_path / "d", word=PLANTED.encode()) == []


@pytest.mark.parametrize("method", ["nsjail", "pid", "docker", "gvisor"])
async def test_other_methods_trust_the_runs_authority_too(tmp_path: Path, method: str) -> None:
    start_engine(method)
    toml = next((one.toml for one in METHODS if one.name == method), f'kind = "{method}"')
    async with (
        secret_host(tmp_path, server := hello()) as host,
        daemon(
            tmp_path / "d",
            host.config(more=f"needs = []\nforce_sandbox = false\n[methods.{named(method)}]\n{toml}"),
            env=host.env,
        ) as house,
        house.client() as client,
    ):
        (found,) = [one for one in (await client.doctor())["methods"] if one["name"] == named(method)]
        need(method, found["available"], f"the method {method} ({found['reason']})", found["fix"])
        program = (
            "import os, urllib.request as u; "
            f"print(u.urlopen(u.Request('{host.url}', headers={{'x-api-key': os.environ['KEY']}})).read())"
        )
        work = run(client, ["python3", "-c", program], network="near", secrets=["key"], method=named(method))
        record = await looked_into(work)
        assert await output(client, record) == ("b'hello'\n", "")
        assert server.seen[0].headers["x-api-key"] == PLANTED


async def test_git_and_queries_get_it_too_and_clients_without_variables_trust_the_authority(
    tmp_path: Path,
) -> None:
    repository = tmp_path / "repository"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "main", repository], check=True)
    for words in (["commit", "-q", "--allow-empty", "-m", "one"], ["update-server-info"]):
        subprocess.run([*git, "-C", repository, *words], check=True)
    async with (
        secret_host(tmp_path, server := Files(repository)) as host,
        daemon(tmp_path / "d", host.config("basic"), env=host.env) as house,
        house.client() as client,
    ):
        address = f"localhost:{host.port}"
        command = (
            f"git clone -q https://me:$KEY@{address}/.git /tmp/c && git -C /tmp/c log --format=%s"
            f" && env -i KEY=$KEY PATH=$PATH wget -qO- --user=me --password=$KEY https://{address}/.git/HEAD"
        )
        record = await run(client, command, network="near", secrets=["key"])
        assert await output(client, record) == ("one\nref: refs/heads/main\n", "")
        assert set(server.pairs) == {f"me:{PLANTED}"}


FETCH = "fetch('{url}/a', {{headers: {{authorization: 'Basic ' + btoa('me:' + process.env.KEY)}}}})"
SEEN = "/usr/local/bin:/usr/bin:/bin"  # from inside
CLIENTS = {
    "python3": "python3 -m pip download -q --no-deps --index-url https://me:$KEY@{address}/simple a",
    "node": f'node -e "{FETCH}"',
    "npm": "npm view a --registry {url}/ --//{address}/:_auth=$(printf me:$KEY | base64 -w0)",
}


@pytest.mark.parametrize("program", CLIENTS)
async def test_package_clients_trust_the_authority_and_are_let_in(tmp_path: Path, program: str) -> None:
    words = [shutil.which(program, path=SEEN) or "false", *(["-m", "pip"] if program == "python3" else [])]
    is_there = subprocess.run([*words, "--version"], capture_output=True, check=False).returncode == 0
    need("", is_there, " ".join(words), "install it from the system's packages")
    async with (
        secret_host(tmp_path, server := Files(tmp_path / "nothing")) as host,
        daemon(tmp_path / "d", host.config("basic"), env=host.env) as house,
        house.client() as client,
    ):
        command = CLIENTS[program].format(url=host.url, address=f"localhost:{host.port}")
        record = await run(client, command, network="near", secrets=["key"])
        assert set(server.pairs) == {f"me:{PLANTED}"}, await output(client, record)


async def test_the_placeholder_of_a_run_that_has_ended_is_refused_at_once(tmp_path: Path) -> None:
    async with (
        secret_host(tmp_path, server := hello()) as host,
        daemon(tmp_path / "d", host.config(), env=host.env) as house,
        house.client() as client,
    ):
        record = await run(client, "echo $KEY", network="near", secrets=["key"])
        phantom, _ = await output(client, record)
        command = f'curl -s -w %{{http_code}} -H "x-api-key: {phantom.strip()}" {host.url}'
        record = await run(client, command, network="near", secrets=["key"])
        told, _ = await output(client, record)
        assert told.endswith("403")
        assert "one that has ended" in told
        assert list(record.refused) == [f"localhost:{host.port}"]
        assert server.seen == []


async def test_a_value_itself_goes_inside_only_where_that_is_granted_and_is_told(tmp_path: Path) -> None:
    async with (
        secret_host(tmp_path, hello()) as host,
        daemon(tmp_path / "d", host.config().replace('["key",', '["key:env",'), env=host.env) as house,
        house.client() as client,
    ):
        work = run(client, f"echo $KEY; {WAIT}", secrets=["key:env"])
        record = await looked_into(work, holds_it=True)
        assert await output(client, record) == (f"{PLANTED}\n", "")
        assert "key: its value itself is inside, in KEY" in record.model_dump_json()
        assert "secret=key: its value itself goes into the sandbox" in house.log()
        assert PLANTED not in house.log()


async def test_a_kept_sandbox_has_its_secrets_for_every_command(tmp_path: Path) -> None:
    async with (
        secret_host(tmp_path, server := hello()) as host,
        daemon(tmp_path / "d", host.config(), env=host.env) as house,
        house.client() as client,
    ):
        command = f'curl -sS -H "x-api-key: $KEY" {host.url}'
        record = await run(client, command, network="near", secrets=["key"], session_id="new")
        again = await run(client, command, session_id=record.session_id)
        assert [await output(client, each) for each in (record, again)] == [("hello", "")] * 2
        assert [seen.headers["x-api-key"] for seen in server.seen] == [PLANTED] * 2


async def test_a_check_proves_that_a_secret_works_and_shows_nothing(tmp_path: Path) -> None:
    repository = tmp_path / "files"
    repository.mkdir()
    (repository / "me").write_text("it is me")
    async with (
        secret_host(tmp_path, server := Files(repository)) as host,
        daemon(tmp_path / "d", host.config("basic"), env=host.env) as house,
        house.client() as client,
    ):
        checked = await client.check_secret("key", "/me")
        assert (checked.status, checked.without, checked.works) == (200, 401, True)
        assert server.pairs == [f"x-access-token:{PLANTED}"]
        assert PLANTED not in checked.model_dump_json() + house.log()
        with pytest.raises(ServiceError) as refused:
            await client.check_secret("openai")
        assert refused.value.code == "secret_missing"


async def test_by_the_proxy_inside_it_is_used_just_so(tmp_path: Path) -> None:
    async with (
        secret_host(tmp_path, server := hello()) as host,
        daemon(tmp_path / "d", host.config(), env=host.env) as house,
        house.client() as client,
    ):
        asked = f'curl -sS --noproxy "" -H "x-api-key: $KEY" {host.url}'
        command = f"{asked} -x http://127.0.0.1:3128; {asked} -x socks5h://127.0.0.1:3128"
        record = await run(client, command, network="near", secrets=["key"])
        assert await output(client, record) == ("hellohello", "")
        assert [seen.headers["x-api-key"] for seen in server.seen] == [PLANTED] * 2


async def test_a_principal_has_what_its_own_table_grants_and_not_what_the_owners_callers_have(
    tmp_path: Path,
) -> None:
    async with secret_host(tmp_path, server := hello()) as host:
        more = '[principals.ci]\nsecrets = ["key"]\n[principals.eve]'
        async with (
            daemon(tmp_path / "d", host.config(more=more), env=host.env) as house,
            house.client() as owner,
        ):
            command = f'curl -sS -H "x-api-key: $KEY" {host.url}'
            for name in ("ci", "eve"):
                token = (await owner.create_token(name)).token
                async with connect(house.config, token=token) as client:
                    if name == "ci":
                        await run(client, command, network="near", secrets=["key"])
                    with pytest.raises(ServiceError) as refused:
                        await run(
                            client, command, network="near", secrets=["openai" if name == "ci" else "key"]
                        )
                    assert refused.value.code == "secret_denied"
                    with pytest.raises(ServiceError) as refused:
                        await client.check_secret("key")
                    assert refused.value.code == "owner_only"
        assert [seen.headers["x-api-key"] for seen in server.seen] == [PLANTED]


async def test_a_secret_is_granted_by_name_and_of_use_only_where_its_host_is_reached(tmp_path: Path) -> None:
    async with (
        secret_host(tmp_path, hello()) as host,
        daemon(tmp_path / "d", host.config(), env=host.env) as house,
        house.client() as client,
    ):
        cases = {"github": "secret_denied", "none": "secret_denied", "key:env": "secret_denied"}
        for name, code in {**cases, "key": "secret_unreachable"}.items():
            with pytest.raises(ServiceError) as refused:
                await run(client, "true", secrets=[name])
            assert refused.value.code == code
