"""Who is let in to the page of a real daemon, and what each sees there."""

from collections.abc import AsyncGenerator

import pytest

from hutch.destinations import SANDBOXES_HOST
from hutch.web.page.sign_ins import KEY_S, SESSION_S, SignIns
from support.access_house import House, open_house, post
from support.daemon import run
from support.page_house import visitor

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[House]:
    async with open_house(tmp_path_factory.mktemp("house")) as opened:
        yield opened


# Keys and cookies ------------------------------------------------------------


def test_a_key_works_once_and_a_cookie_until_its_end() -> None:
    now = [0.0]
    ins = SignIns(lambda: now[0])
    key = ins.offer("token")
    cookie = ins.redeem(key)
    assert cookie is not None
    assert (ins.redeem(key), ins.token_of(key), ins.redeem(cookie)) == (None, None, None)
    assert ins.token_of(cookie) == "token"
    now[0] = SESSION_S
    assert ins.token_of(cookie) is None
    late = ins.offer("token")
    now[0] += KEY_S
    assert ins.redeem(late) is None


def test_of_very_many_keys_the_oldest_make_way() -> None:
    ins = SignIns()
    first, *_, last = (ins.offer("token") for _ in range(1000))
    assert ins.redeem(first) is None
    assert ins.redeem(last) is not None


@pytest.mark.slow
async def test_the_link_signs_in_once_with_a_cookie_that_scripts_and_other_sites_do_not_get(
    house: House,
) -> None:
    async with visitor(house.daemon) as one, visitor(house.daemon) as other:
        assert (await one.get("/")).status_code == 401
        assert (await one.http.head(one.told["path"], headers={"Host": one.host})).status_code == 403
        answer = await one.sign_in()
        assert answer.status_code == 200
        assert answer.headers["set-cookie"].split("; ")[1:] == [
            "Path=/",
            f"Max-Age={SESSION_S:.0f}",
            "HttpOnly",
            "SameSite=Strict",
        ]
        assert (await one.get("/")).status_code == 200
        other.told["path"] = one.told["path"]
        assert (await other.sign_in()).status_code == 403
        other.told["path"] = one.told["path"][:-1] + "~"
        assert (await other.sign_in()).status_code == 403
        assert (await other.get("/")).status_code == 401
        assert (await one.post("/sign-out", Origin=f"http://{one.host}")).status_code == 200
        assert (await one.get("/")).status_code == 401


@pytest.mark.slow
async def test_a_cookie_is_taken_from_the_page_alone(house: House) -> None:
    async with visitor(house.daemon) as one:
        await one.sign_in()
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://{one.told['host']}:1"},  # another server of this host
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
            {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        ):
            assert (await one.get("/", **headers)).status_code == 401, headers
            assert (await one.post("/sign-out", **headers)).status_code == 401, headers
        assert (await one.post("/sign-out")).status_code == 401
        assert (await one.get("/", Host="evil.example")).status_code == 421
        assert (await one.get("/", Host=f"{SANDBOXES_HOST}:80")).status_code == 401
        ours = {"Origin": f"http://{one.host}", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
        assert (await one.get("/", **ours)).status_code == 200


@pytest.mark.slow
async def test_a_cookie_opens_nothing_but_the_page_and_a_token_not_the_page(house: House) -> None:
    async with visitor(house.daemon) as one:
        await one.sign_in()
        for path in ("/api/list_runs", "/api/sign_in", "/api/shutdown", "/mcp"):
            answer = await one.post(path, Origin=house.daemon.url)
            assert answer.status_code == 401
        one.http.cookies.clear()
        assert (await one.get("/", Authorization=f"Bearer {house.daemon.token}")).status_code == 401


@pytest.mark.slow
async def test_every_answer_says_what_a_browser_may_do_with_it(house: House) -> None:
    async with visitor(house.daemon) as one:
        answers = [await one.get("/"), await one.sign_in()]
        paths = ("/", "/runs/r-none", "/page/page.css", "/page/page.js", "/page/none", "/runs/a/b")
        answers += [await one.get(path) for path in paths]
        answers.append(await one.post("/", Origin=f"http://{one.host}"))
    assert [answer.status_code for answer in answers] == [401, 200, 200, 404, 200, 200, 404, 404, 405]
    for answer in answers:
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


# Principals ------------------------------------------------------------


@pytest.mark.slow
async def test_a_principal_sees_its_own_work_until_its_token_is_revoked(house: House) -> None:
    theirs = await run(house.ci, ["echo", "of ci"])
    others = await run(house.owner, ["echo", "of the owner"])
    token = await house.owner.create_token("ci")
    async with visitor(house.daemon, token.token) as ci, visitor(house.daemon) as owner:
        await ci.sign_in()
        await owner.sign_in()
        seen, whole = (await ci.get("/")).text, (await owner.get("/")).text
        assert (theirs.run_id in seen, others.run_id in seen) == (True, False)
        assert (theirs.run_id in whole, others.run_id in whole) == (True, True)
        assert (await ci.get(f"/runs/{theirs.run_id}")).status_code == 200
        hidden, absent = (await ci.get(f"/runs/{others.run_id}")), await ci.get("/runs/r-aaaaaaaaaa")
        assert hidden.status_code == absent.status_code == 404
        assert hidden.text.replace(others.run_id, "") == absent.text.replace("r-aaaaaaaaaa", "")
        await house.owner.revoke_token(token.token_id)
        assert (await ci.get("/")).status_code == 401
        assert (await post(house, "/api/sign_in", token.token or "")).status_code == 401
