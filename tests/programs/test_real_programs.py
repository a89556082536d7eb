"""The programs that people run, inside every method that runs here, one after the other in a kept sandbox."""

import base64
import io
import zipfile
from collections.abc import AsyncGenerator

import pytest

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.volume_records import WriteVolumeRequest
from support.contract_column import who
from support.daemon import output, run
from support.kept_methods import PLACES, daemon_with, label, named

pytestmark = [pytest.mark.slow, pytest.mark.apart("box")]  # real sandboxes and package managers

_WHEEL = "greeting-1.0-py3-none-any.whl"
_WHEEL_FILES = {
    "greeting.py": "def greet(): return 'hello from a wheel'\n",
    "greeting-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
    "greeting-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "greeting-1.0.dist-info/RECORD": "greeting.py,,\n",
}
_SUITE = (
    b"import multiprocessing, sqlite3, subprocess, tempfile, threading, unittest\n"
    b"class T(unittest.TestCase):\n"
    b" def test_pool(self):\n"
    b"  with multiprocessing.Pool(2) as pool: self.assertEqual(pool.map(abs, [-1, 2]), [1, 2])\n"
    b" def test_child(self): self.assertEqual(subprocess.check_output(['echo', 'x']), b'x\\n')\n"
    b" def test_database(self):\n"
    b"  with tempfile.NamedTemporaryFile() as file:\n"
    b"   sqlite3.connect(file.name).execute('create table t (a)')\n"
    b" def test_thread(self):\n"
    b"  thread = threading.Thread(target=int); thread.start(); thread.join()\n"
)
_PROGRAM = b'#include <stdio.h>\nint main(void) { return puts("compiled") < 0; }\n'
_CONFIG = """
[policy.limits]
pids = 256
"""
_NO_SOCKETS = "landlock: no program inside can listen or connect"
_CANNOT = {
    ("landlock", "test_a_python_test_suite_runs"): (
        "landlock: semaphores of POSIX are files in /dev/shm, which all of the host shares"
    ),
    ("landlock", "test_a_server_in_the_background_answers_a_later_command"): _NO_SOCKETS,
}


class Box:
    """A kept sandbox of a method, with one volume."""

    def __init__(self, client: Client, method: str) -> None:
        self.client, self.method = client, method
        self._session: str | None = None

    async def run(self, script: str) -> RunRecord:
        """Run a script of bash; it must succeed."""
        opening = {"method": self.method, "volumes": ["programs"], "session_id": "new"}
        asked = {"session_id": self._session} if self._session else opening
        record = await run(self.client, f"set -e; {script}", timeout_s=110, **asked)
        self._session = record.session_id
        told = await output(self.client, record)
        assert record.exit_code == 0, (script, record, *told)
        return record

    async def says(self, script: str) -> str:
        return (await output(self.client, await self.run(script)))[0].strip()

    async def put(self, path: str, content: bytes) -> None:
        encoded = base64.b64encode(content).decode()
        await self.client.write_volume(
            WriteVolumeRequest(volume="programs", path=path, content_base64=encoded)
        )


@pytest.fixture(scope="module", params=PLACES, ids=label)
async def box(request: pytest.FixtureRequest) -> AsyncGenerator[Box]:
    method, user = request.param[0], who(request.param[1])
    async with daemon_with(method, user, _CONFIG) as made, made.client() as client:
        opened = Box(client, named(method))
        await opened.put(f"/dist/{_WHEEL}", wheel())
        await opened.put("/package/package.json", b'{"name":"greet","version":"1.0.0","main":"index.js"}')
        await opened.put("/package/index.js", b"module.exports = () => 'hello from a package'\n")
        await opened.put("/site/index.html", b"hello from a server\n")
        await opened.put("/suite/test_it.py", _SUITE)
        await opened.put("/main.c", _PROGRAM)
        yield opened


@pytest.fixture(autouse=True)
def reason(request: pytest.FixtureRequest, box: Box) -> None:
    """What a method cannot is known, with why."""
    method = box.method.partition("-")[0]
    if why := _CANNOT.get((method, request.node.originalname)):
        request.applymarker(pytest.mark.xfail(reason=why, strict=True))


async def test_git_clones_a_bare_repository_and_commits(box: Box) -> None:
    await box.run(
        "git init -q --bare origin.git; git clone -q origin.git repo 2>&1; cd repo;"
        " git config user.email a@example.org; git config user.name A;"
        " echo one > file; git add file; git commit -qm first; git push -q origin HEAD"
    )
    assert await box.says("git -C origin.git log --format=%s") == "first"


async def test_pip_installs_a_wheel_into_a_virtual_environment(box: Box) -> None:
    await box.run(
        "/usr/bin/python3 -m venv --without-pip env;"
        f" /usr/bin/python3 -m pip --python env/bin/python install -q --no-index dist/{_WHEEL}"
    )
    assert await box.says("env/bin/python -c 'import greeting; print(greeting.greet())'") == (
        "hello from a wheel"
    )


async def test_npm_installs_a_local_package(box: Box) -> None:
    await box.run("mkdir -p app; cd app; npm init -y >/dev/null; npm install --offline --no-audit ../package")
    assert await box.says("cd app; node -e 'console.log(require(\"greet\")())'") == "hello from a package"


async def test_a_python_test_suite_runs(box: Box) -> None:
    told = await box.says("cd suite; /usr/bin/python3 -m unittest 2>&1")
    assert "Ran 4 tests" in told
    assert told.endswith("OK")


async def test_a_compiler_makes_a_program_that_runs(box: Box) -> None:
    assert await box.says("cc -O1 -o main main.c; ./main") == "compiled"


async def test_a_server_in_the_background_answers_a_later_command(box: Box) -> None:
    await box.run("cd site; setsid /usr/bin/python3 -m http.server 8123 >/dev/null 2>&1 & sleep 0.1")
    ask = (
        "import time, urllib.request\n"
        "for _ in range(100):\n"
        " try: print(urllib.request.urlopen('http://127.0.0.1:8123/').read().decode()); break\n"
        " except OSError: time.sleep(0.05)\n"
    )
    assert await box.says(f'/usr/bin/python3 -c "{ask}"') == "hello from a server"


def wheel() -> bytes:
    """A wheel with one module, made here: nothing is fetched."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in _WHEEL_FILES.items():
            archive.writestr(name, text)
    return packed.getvalue()
