"""The page in a real browser: what it shows, what its policy lets it do, and that it follows what happens."""

from pathlib import Path

import pytest

from hutch_mcp_tools.run_records import RunRequest
from support.browser import browser
from support.daemon import daemon, run
from support.loopback import listening
from support.page_house import visitor

pytestmark = pytest.mark.slow

CONFIG = '[policy]\nnetworks = ["near"]\n[network.near]\nhost_services = ["127.0.0.1:{port}"]\n'
KNOCK = """
exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3; exec 3>&-
getent hosts pypi.org
echo '<b>loud</b>'
sleep 300
"""


@pytest.mark.timeout(600)  # a browser starts slowly on a busy host
async def test_a_run_at_work_is_followed_in_a_browser(tmp_path: Path) -> None:
    async with (
        browser(tmp_path / "browser") as window,
        listening() as port,
        daemon(tmp_path / "d", CONFIG.format(port=port)) as house,
        house.client() as client,
        visitor(house) as one,
    ):
        origin = f"http://{one.host}"
        await window.open(origin + one.told["path"])
        await window.until("location.pathname == '/' && document.querySelector('#work')")
        assert await window.run("return document.cookie") == ""
        await window.run("window.isTheSame = true")

        # It appears by itself
        words = ["bash", "-c", KNOCK.format(port=port)]
        begun = await client.run(RunRequest(command=words, network="near"), 0)
        await window.until(f"document.querySelector('a[href=\"/runs/{begun.run_id}\"]')")
        assert await window.run("return window.isTheSame")

        await window.open(f"{origin}/runs/{begun.run_id}")
        await window.run("window.isTheSame = true")
        await window.until("document.querySelector('#refused')?.innerText.includes('--net python')")
        await window.until(f"document.querySelector('#connections')?.innerText.includes('127.0.0.1:{port}')")
        await window.until("document.querySelector('#stdout')?.innerText.includes('<b>loud</b>')")
        assert await window.run("return document.querySelector('#said').innerText") == "at work"
        await client.stop_run(begun.run_id)
        await window.until("document.querySelector('#said').innerText == 'stopped'")
        assert await window.run("return window.isTheSame")
        assert await window.console() == []

        # For narrow screens nothing is cut off
        await window.picture(tmp_path / "narrow.png", 380)
        assert await window.run("return document.documentElement.scrollWidth <= innerWidth")

        await run(client, "true")
        await window.run("document.querySelector('header form button').click()")
        await window.until("document.body.innerText.includes('You are signed out')")
        await window.open(origin)
        assert "You are not signed in" in await window.text()
