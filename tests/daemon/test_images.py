"""Images that a run asks for: by the owner's leave, where the method has images, and recorded."""

from collections.abc import AsyncGenerator

import pytest

from hutch.client import Client
from hutch_launchers.containers.cli import call
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from support.container_engines import OWN, PODMAN
from support.daemon import daemon, output, run
from support.launcher_methods import available
from support.small_image import small_image

IMAGE, METHOD = "hutch-test/asked:1", f"boxes-{OWN}"
CONFIG = f"""
[policy]
images = ["hutch-test/*:1"]
[methods.{METHOD}]
kind = "podman"
command = {list(PODMAN)}
"""
READ = "read -r line < /etc/marker; echo $line"


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Client]:
    await available("podman")
    call([*PODMAN, "import", "-", IMAGE], small_image())
    async with daemon(tmp_path_factory.mktemp("daemon"), CONFIG) as running, running.client() as client:
        yield client


async def test_a_run_has_the_image_that_it_asks_for_and_its_record_says_so(house: Client) -> None:
    record = await run(house, READ, method=METHOD, image=IMAGE, volumes=["web"])
    assert (record.status, record.exit_code) == ("exited", 0), record.reason
    assert (await output(house, record))[0] == "of the image\n"
    requested, granted = record.policy["requested"], record.policy["granted"]
    assert (requested["image"], granted["image"]) == (IMAGE, IMAGE)  # type: ignore[index]


async def test_a_session_keeps_its_image_and_changes_it_for_no_command(house: Client) -> None:
    first = await run(house, READ, method=METHOD, image=IMAGE, session_id="new")
    assert first.session_id is not None
    try:
        again = await run(house, READ, session_id=first.session_id)
        assert (await output(house, again))[0] == "of the image\n"
        assert await refused(house, session_id=first.session_id, image=IMAGE) == "session_invalid"
    finally:
        await house.stop_session(first.session_id)


async def test_what_the_owner_has_not_named_or_a_method_cannot_give_is_refused(house: Client) -> None:
    assert await refused(house, method=METHOD, image="hutch-test/asked:2") == "image_denied"
    assert await refused(house, method=METHOD, image="asked") == "image_denied"
    assert await refused(house, method="bubblewrap", image=IMAGE) == "guarantee_missing"
    assert await refused(house, method=METHOD, image="hutch-test/never-was:1") == "sandbox_failed"


async def refused(client: Client, **asked: object) -> str:
    """The code of a refusal, at once or as the reason of a run that failed."""
    try:
        record = await client.run(RunRequest.model_validate({"command": READ, **asked}), 45)
    except ServiceError as error:
        return error.code
    assert record.status == "failed"
    return record.reason.partition(":")[0]
