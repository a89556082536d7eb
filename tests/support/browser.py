"""A real browser, Debian's Chromium, driven by chromedriver over plain HTTP (W3C WebDriver)."""

import base64
import os
import re
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import anyio
import httpx2

from support.needs import need

_UP_S = 60
_STEP_S = 90  # any one step of a browser on a machine that does much else
_PORT = re.compile(r"started successfully on port (\d+)")
# As root it has no sandbox of its own; the rest keeps it from asking hosts of its maker's
_FLAGS = """
--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --disable-dev-shm-usage
"""


@dataclass(frozen=True, slots=True)
class Browser:
    """One session of it."""

    http: httpx2.AsyncClient
    session: str

    async def open(self, url: str) -> None:
        await self._do("url", {"url": url})

    async def run(self, script: str) -> Any:  # noqa: ANN401 - JSON
        """Run the body of a function in the page, and return its value."""
        return await self._do("execute/sync", {"script": script, "args": []})

    async def text(self) -> str:
        return str(await self.run("return document.body.innerText"))

    async def until(self, script: str) -> None:
        """Wait until it is true of the page."""
        with anyio.fail_after(_STEP_S):
            while not await self.run(f"return Boolean({script})"):
                await anyio.sleep(0.05)

    async def console(self) -> list[str]:
        """What the browser said of the pages since the last time: errors, and what a policy forbade."""
        return [entry["message"] for entry in await self._do("se/log", {"type": "browser"})]

    async def tools(self, command: str, **parameters: object) -> Any:  # noqa: ANN401 - JSON
        """One command of Chromium's own protocol."""
        return await self._do("goog/cdp/execute", {"cmd": command, "params": parameters})

    async def picture(self, file: Path, width: int, *, dark: bool = False) -> None:
        """The whole page as someone sees it."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.tools("Emulation.setEmulatedMedia", features=scheme)
        await self.tools(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False
        )
        shot = await self.tools("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    async def _do(self, step: str, body: dict[str, object]) -> Any:  # noqa: ANN401 - JSON
        answer = await self.http.post(f"/session/{self.session}/{step}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]


@asynccontextmanager
async def browser(folder: Path) -> AsyncGenerator[Browser]:
    """A new one, which keeps what it keeps in `folder`, made here."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    need("chromium", bool(program and driver), "Chromium with its driver", "scripts/install-methods")
    folder.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    async with await anyio.open_process(
        [str(driver), "--port=0"], stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=env, start_new_session=True
    ) as process:
        try:
            with anyio.fail_after(_UP_S):
                url = f"http://127.0.0.1:{await _port(process)}"
            async with httpx2.AsyncClient(base_url=url, timeout=_STEP_S, trust_env=False) as http:
                session = await _begin(http, str(program), folder)
                try:
                    yield Browser(http, session)
                finally:
                    with anyio.CancelScope(shield=True):
                        await http.delete(f"/session/{session}")
        finally:
            process.kill()


async def _port(process: anyio.abc.Process) -> int:
    said = ""
    assert process.stdout is not None
    async for piece in process.stdout:
        said += piece.decode()
        if found := _PORT.search(said):
            return int(found[1])
    raise AssertionError(f"chromedriver did not come up: {said}")


async def _begin(http: httpx2.AsyncClient, program: str, folder: Path) -> str:
    options = {"binary": program, "args": [*_FLAGS.split(), f"--user-data-dir={folder / 'profile'}"]}
    wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    answer = await http.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["value"]["sessionId"])
