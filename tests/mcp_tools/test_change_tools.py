"""Changes of a workspace over MCP: read, and applied when a person says so or the owner lets agents."""

from collections.abc import AsyncGenerator

import pytest
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult, TextContent

from hutch_mcp_tools.change_records import ChangesRequest, WorkspaceChange, WorkspaceChanges
from hutch_mcp_tools.change_text import changes_text
from hutch_mcp_tools.server import build_server
from support.mcp_service import FakeService

QUESTIONS: list[str] = []


@pytest.fixture(params=["auto", "legacy"])
async def person(request: pytest.FixtureRequest, service: FakeService) -> AsyncGenerator[Client]:
    """A client that asks a person, who agrees unless hooks would run."""
    QUESTIONS.clear()

    async def ask(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        del context
        QUESTIONS.append(params.message)
        if "would run" in params.message:
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content={"apply": True})

    server = build_server(service, version="0")
    async with Client(server, elicitation_callback=ask, mode=request.param) as client:
        yield client


def text(result: object) -> str:
    content = result.content  # type: ignore[attr-defined]
    return "".join(part.text for part in content if isinstance(part, TextContent))


async def test_changes_are_listed_and_then_shown_by_their_lines(client: Client) -> None:
    shown = text(await client.call_tool("get_changes", {"review": "s-review"}))
    assert shown.startswith('review=s-review folder="/src/app" changes=0-3\n---\nM README (+1 -0)\nD old\n')
    assert "A .envrc (a shell would obey it)" in shown
    assert shown.endswith("+two")
    missing = await client.call_tool("get_changes", {"review": "r-none"})
    assert missing.is_error
    assert "changes_unknown" in text(missing)


async def test_a_person_is_asked(person: Client, service: FakeService) -> None:
    done = await person.call_tool("apply_changes", {"review": "s-review", "skip": [".envrc"]})
    assert not done.is_error, text(done)
    assert QUESTIONS == ["Apply 2 changes of s-review to /src/app?\nM README\nD old"]
    assert service.asked[0].agreed
    assert service.asked[0].skip == [".envrc"]
    assert text(done).startswith("applied 3 changes to /src/app; 0 wait\nM README")


async def test_what_is_not_there_is_not_asked_about(person: Client) -> None:
    missing = await person.call_tool("apply_changes", {"review": "r-none"})
    assert missing.is_error
    assert "changes_unknown" in text(missing)
    assert QUESTIONS == []


async def test_who_says_no_is_obeyed(person: Client, service: FakeService) -> None:
    done = await person.call_tool("apply_changes", {"review": "s-review", "include_executable": True})
    assert done.is_error
    assert "apply_denied" in text(done)
    assert "would run, or obey: .envrc" in QUESTIONS[0]
    assert service.asked == []


async def test_without_anybody_to_ask_the_owners_configuration_decides(
    client: Client, service: FakeService
) -> None:
    denied = await client.call_tool("apply_changes", {"review": "s-review"})
    assert "apply_denied" in text(denied)
    service.agents_may_apply = True
    assert not (await client.call_tool("apply_changes", {"review": "s-review"})).is_error
    assert not service.asked[0].agreed


def test_the_files_by_which_git_keeps_commits_are_counted_unless_they_are_asked_for() -> None:
    changes = [
        WorkspaceChange(kind="M", path=".git/config", what="file", called_out="git would obey it"),
        *(WorkspaceChange(kind="A", path=f".git/objects/{n}", what="file") for n in range(500)),
        *(WorkspaceChange(kind="M", path=f"src/{n}", what="file") for n in range(3)),
    ]
    found = WorkspaceChanges(
        review="r-1", folder="/src", how="overlay", changes=changes, count=900, next=len(changes)
    )
    shown = changes_text(found, ChangesRequest(id="r-1", offset=10), 4000)
    assert shown.splitlines()[0].endswith(
        'changes=10-514 of 900; more: get_changes(review="r-1", offset=514)'
    )
    assert shown.splitlines()[2:] == [
        "M .git/config (git would obey it)", "M src/0", "M src/1", "M src/2",
        '(500 of git\'s own files, as commits change them: path=".git" tells them)',
    ]  # fmt: skip
    asked = changes_text(found, ChangesRequest(id="r-1", path=".git"), 400)
    assert "A .git/objects/0\n" in asked
    assert len(asked) < 600
