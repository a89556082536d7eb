"""A sandbox works over a real folder, which stays as it is until a person applies what changed."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from hutch_mcp_tools.change_records import ApplyRequest, ChangesRequest, WorkspaceChange, WorkspaceChanges
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from support.contract_column import ROOT_USER
from support.daemon import output
from support.workspace_house import House, house


def lines(found: WorkspaceChanges) -> list[str]:
    return [f"{change.kind} {change.path}" for change in found.changes]


async def work(here: House, command: str) -> str:
    """Let a sandbox work under review, and return the id of its run."""
    record = await here.run(f"set -e; {command}", "review")
    assert record.exit_code == 0, (record, await output(here.client, record))
    assert record.workspace["how"] == "overlay"
    return record.run_id


async def changes(here: House, run_id: str, **values: object) -> WorkspaceChanges:
    return await here.client.get_changes(ChangesRequest.model_validate({"id": run_id, **values}))


async def change(here: House, run_id: str, path: str) -> WorkspaceChange:
    return next(each for each in (await changes(here, run_id)).changes if each.path == path)


async def apply(here: House, run_id: str, **values: object) -> list[str]:
    request = ApplyRequest.model_validate({"id": run_id, "agreed": True, **values})
    return (await here.client.apply_changes(request)).applied


async def refused(here: House, run_id: str, code: str, **values: object) -> ServiceError:
    with pytest.raises(ServiceError) as error:
        await apply(here, run_id, **values)
    assert error.value.code == code
    return error.value


async def test_what_is_written_waits_and_is_then_applied(here: House) -> None:
    here.write("keep", "one\ntwo\n")
    here.write("gone", "x")
    here.write("old/a", "a")
    here.write("old/b/c", "c")
    before = here.listing()
    run_id = await work(
        here,
        "echo three >> keep; rm gone; rm -r old; mkdir -p new/deep; echo n > new/deep/n;"
        "ln -s keep link; chmod +x keep",
    )
    assert here.listing() == before
    assert (here.folder / "keep").read_text() == "one\ntwo\n"
    assert run_id in {each.review for each in await here.client.list_reviews()}
    found = await changes(here, run_id)
    assert lines(found) == [
        "D gone", "M keep", "A link", "A new", "A new/deep", "A new/deep/n",
        "D old", "D old/a", "D old/b", "D old/b/c"
    ]  # fmt: skip
    kept = await change(here, run_id, "keep")
    assert kept.patch is not None
    assert "+three" in kept.patch
    assert await apply(here, run_id) == lines(found)
    assert here.listing() == ["keep", "link", "new", "new/deep", "new/deep/n"]
    assert (here.folder / "keep").read_text() == "one\ntwo\nthree\n"
    assert (here.folder / "keep").stat().st_mode & 0o777 == 0o755
    assert (here.folder / "link").readlink() == Path("keep")
    assert (here.folder / "new/deep/n").stat().st_uid == here.who.uid
    assert lines(await changes(here, run_id)) == []
    assert run_id not in {each.review for each in await here.client.list_reviews()}  # nothing waits


async def test_a_folder_that_was_made_anew_hides_what_it_held(here: House) -> None:
    here.write("d/old", "old")
    here.write("d/same", "same")
    here.write("f", "a file")
    here.write("g/inner", "in a folder")
    run_id = await work(
        here,
        "rm -r d; mkdir d; echo new > d/new; printf same > d/same; rm f; mkdir f; echo i > f/i;"
        "rm -r g; echo g > g",
    )
    assert lines(await changes(here, run_id)) == ["A d/new", "D d/old", "M f", "A f/i", "M g", "D g/inner"]
    await apply(here, run_id)
    assert here.listing() == ["d", "d/new", "d/same", "f", "f/i", "g"]
    assert (here.folder / "g").read_text() == "g\n"
    assert lines(await changes(here, run_id)) == []


async def test_some_files_and_some_hunks(here: House) -> None:
    text = [f"line {n}" for n in range(40)]
    here.write("long", "\n".join(text) + "\n")
    here.write("other", "x\n")
    run_id = await work(
        here,
        "sed -i 's/line 3$/first/; s/line 20$/second/; s/line 37$/third/' long;"
        "echo y > other; mkdir sub; echo s > sub/s",
    )
    assert (await change(here, run_id, "long")).hunks == 3
    assert await apply(here, run_id, paths=["sub"]) == ["A sub", "A sub/s"]
    assert await apply(here, run_id, hunks={"long": [1, 3]}) == ["M long"]
    now = (here.folder / "long").read_text()
    assert "first" in now
    assert "third" in now
    assert "line 20" in now
    assert lines(await changes(here, run_id)) == ["M long", "M other"]
    await refused(here, run_id, "change_unknown", hunks={"long": [2]})
    assert await apply(here, run_id, skip=["other"]) == ["M long"]
    assert "second" in (here.folder / "long").read_text()
    assert (here.folder / "other").read_text() == "x\n"


async def test_a_real_file_that_changed_meanwhile_is_a_conflict_and_nothing_is_done(here: House) -> None:
    here.write("a", "one\n")
    here.write("b", "one\n")
    run_id = await work(here, "echo two > a; echo two > b; echo two > c")
    here.write("b", "mine\n")
    here.write("c", "mine\n")
    assert [each.path for each in (await changes(here, run_id)).changes if each.conflict] == ["b", "c"]
    await refused(here, run_id, "change_conflict")
    assert (here.folder / "a").read_text() == "one\n"
    assert await apply(here, run_id, paths=["a"]) == ["M a"]
    assert (here.folder / "b").read_text() == "mine\n"


async def test_what_the_host_would_run_needs_consent(here: House) -> None:
    here.repository()
    here.write("package.json", '{"name": "x", "scripts": {"test": "true"}}')
    run_id = await work(
        here,
        "mkdir -p .vscode .github/workflows; echo '{}' > .vscode/tasks.json;"
        "echo x > .github/workflows/ci.yml;"
        "echo bad > .git/hooks/pre-commit; git config core.fsmonitor /tmp/x;"
        "echo y > AGENTS.md; echo fine > fine;"
        """echo '{"name": "x", "scripts": {"postinstall": "bad"}}' > package.json""",
    )
    called = {each.path for each in (await changes(here, run_id)).changes if each.called_out}
    assert called == {
        ".vscode/tasks.json", ".github/workflows/ci.yml", ".git/hooks/pre-commit", ".git/config",
        "AGENTS.md", "package.json"
    }  # fmt: skip
    await refused(here, run_id, "change_called_out")
    assert "A fine" in await apply(here, run_id, skip=sorted(called))
    assert not (here.folder / ".git/hooks/pre-commit").exists()
    await apply(here, run_id, paths=["AGENTS.md"], include_executable=True)
    assert (here.folder / "AGENTS.md").exists()


async def test_links_to_the_outside_and_special_files_are_refused(here: House) -> None:
    run_id = await work(
        here,
        "ln -s /etc/passwd out; ln -s ../../x up; ln -s a/../b in; mkfifo pipe; echo x > x; chmod 755 x",
    )
    refusals = {each.path: each.refused for each in (await changes(here, run_id)).changes if each.refused}
    assert set(refusals) == {"out", "up", "pipe"}
    await refused(here, run_id, "change_refused")
    assert await apply(here, run_id, skip=["out", "up", "pipe"]) == ["A in", "A x"]
    assert (here.folder / "x").stat().st_mode & 0o7777 == 0o755


async def test_only_the_owner_or_whom_he_lets_applies(here: House) -> None:
    run_id = await work(here, "echo x > x")
    await refused(here, run_id, "apply_denied", agreed=False)
    assert here.listing() == []


async def test_a_review_in_which_nothing_waits_is_gone(here: House) -> None:
    here.write("a", "one\n")
    run_id = await work(here, "echo two > a; echo one > a; touch x; rm x")
    await refused(here, run_id, "changes_unknown")
    assert not (here.state / "reviews" / run_id).exists()


async def test_discarded_is_gone(here: House) -> None:
    run_id = await work(here, "echo x > x")
    assert lines(await here.client.discard_changes(run_id)) == ["A x"]
    await refused(here, run_id, "changes_unknown")
    assert not (here.state / "reviews" / run_id).exists()
    assert here.listing() == []


async def test_a_kept_sandbox_goes_on_in_one_review_and_a_restart_keeps_it(here: House) -> None:
    here.write("a", "one\n")
    first = await here.run("echo two >> a", "review", session_id="new")
    assert first.session_id is not None
    with pytest.raises(ServiceError) as busy:
        await changes(here, first.session_id)
    assert busy.value.code == "review_busy"
    second = await here.client.run(
        RunRequest(command="cat /workspace/a; echo b > /workspace/b", session_id=first.session_id), 20
    )
    assert (await output(here.client, second))[0] == "one\ntwo\n"
    await here.client.stop_session(first.session_id)
    await here.daemon.restart(signal.SIGKILL)
    assert lines(await changes(here, first.session_id)) == ["M a", "A b"]
    await apply(here, second.run_id)
    assert (here.folder / "a").read_text() == "one\ntwo\n"


async def test_host_sockets_are_out_of_reach_under_an_overlay(here: House) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(here.folder / "s.sock"))
        server.listen()
        (here.folder / "s.sock").chmod(0o777)
        script = """python3 - <<'END'
import socket
try:
    socket.socket(socket.AF_UNIX).connect('/workspace/s.sock'); print('CONNECTED')
except OSError: pass
END"""
        assert await here.out(script, "review") == ""


@pytest.mark.parametrize("method", ["landlock"])
async def test_without_overlays_the_sandbox_works_in_a_copy(here: House, method: str) -> None:
    here.write("a", "one\n")
    here.write("gone", "x")
    needs = '[policy]\nneeds = []\nreview_copy_max = "1MiB"\n'
    async with house(here.who.name) as other:
        config = other.daemon.folder / "config.toml"
        config.write_text(config.read_text().replace("[policy]\n", needs) + f"[methods.{method}]\n")
        await other.daemon.restart()
        other.write("a", "one\n")
        other.write("gone", "x")
        async with other.daemon.client() as client:
            command = "cd /workspace 2>/dev/null || cd $PWD; echo two >> a; rm gone; echo n > new"
            record = await client.run(
                RunRequest(
                    command=command, method=method, workspace=f"{other.folder}:review", cwd="/workspace"
                ),
                30,
            )
            assert record.exit_code == 0, (record, await output(client, record))
            assert record.workspace["how"] == "copy"
            assert other.listing() == ["a", "gone"]
            await client.apply_changes(ApplyRequest(id=record.run_id, agreed=True))
        assert other.listing() == ["a", "new"]
        assert (other.folder / "a").read_text() == "one\ntwo\n"


async def test_what_is_denied_is_in_no_diff(here: House) -> None:
    here.write(".hutch.toml", 'denied = ["a/in/secret", "a/.env*"]\n')
    here.write("a/in/secret/key", "TOP\n")
    here.write("a/.env.local", "TOP\n")
    if here.who.uid == 0:  # an overlay cannot make files of others: the sandbox has a copy
        os.chown(here.folder, 1, 1)
    record = await here.run("cd /workspace; mv a b; mkdir -p a/in; mv a/in b; cat b/in/secret/key", "review")
    assert record.workspace["how"] == ("copy" if here.who.uid == 0 else "overlay")
    os.chown(here.folder, here.who.uid, here.who.uid)
    told = await changes(here, record.run_id)
    assert "TOP" not in told.model_dump_json()
    assert {"a/in/secret/key", "a/.env.local"}.isdisjoint({each.path for each in told.changes})
    await here.client.discard_changes(record.run_id)


async def test_what_is_denied_is_not_copied_nor_seen_when_the_real_one_is_gone() -> None:
    async with house(ROOT_USER) as here:
        here.write(".hutch.toml", 'denied = ["secret", "key"]\n')
        here.write("secret/in/deep", "TOP\n")
        here.write("key", "TOP\n")
        os.chown(here.folder, 1, 1)  # an overlay cannot make files of others: the sandbox has a copy
        session = (await here.run("echo x > new", "review", session_id="new")).session_id or ""
        copy = here.state / "reviews" / session / "copy"
        assert (copy / "new").read_text() == "x\n"
        assert ((copy / "key").read_text(), list((copy / "secret").iterdir())) == ("", [])
        await here.client.stop_session(session)
        told = await changes(here, session)
        assert [(each.kind, each.path) for each in told.changes] == [("A", "new")]
        (here.folder / "key").unlink()
        shutil.rmtree(here.folder / "secret")
        told = await changes(here, session)
        assert [(each.kind, each.path) for each in told.changes] == [("A", "new")]
        await here.client.discard_changes(session)
