"""Real clients in real sandboxes: each by names alone, and again through the proxy."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from hutch_launchers.launcher import Launcher
from hutch_launchers.spec import Mount
from support.launcher_methods import available
from support.needs import need
from support.public_net import PublicNet, public_net
from support.shelves import fill
from support.ways_out import Sandboxes

pytestmark = [pytest.mark.slow, pytest.mark.apart("launcher"), pytest.mark.timeout(400)]

GIT = """
git clone -q https://api.example.org/repo.git cloned && cat cloned/README
git -c http.sslVerify=false clone -q https://a.x.cdn.example.org/repo.git wild && cat wild/README
git clone -q https://evil.example.net/repo.git evil 2>&1 | grep -c "unable to access"
"""
PIP = """
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_RETRIES=0 PIP_ROOT_USER_ACTION=ignore
export PIP_DEFAULT_TIMEOUT=100
python3 -m pip install -q --no-cache-dir --target got --index-url https://api.example.org/simple demo-package
PYTHONPATH=got python3 -c 'import demo_package; print(demo_package.WORD)'
python3 -m pip download -q --index-url https://evil.example.net/simple demo-package 2>&1 |
  grep -c "No matching distribution"
"""
NPM = """
export npm_config_registry=https://api.example.org/npm/ npm_config_update_notifier=false
export npm_config_fetch_retries=0 npm_config_fund=false npm_config_audit=false
mkdir p && cd p && npm install --silent demo-package && node -e 'console.log(require("demo-package"))'
"""
FETCH = """
node -e 'fetch("https://api.example.org/hello").then(r => r.text()).then(console.log)'
node -e 'fetch("https://evil.example.net/hello").catch(e => console.log("no:", e.cause.code))'
"""
WGET = """
wget -q -O - --ca-certificate=/opt/ca.pem https://api.example.org/hello; echo
wget -q -O - http://x.cdn.example.org/hello; echo
wget -q -O - https://evil.example.net/hello || echo none
"""
APT = """
mkdir -p etc state/lists/partial cache/archives/partial && touch status
echo "deb [trusted=yes] http://x.cdn.example.org/debian ./" > etc/sources.list
apt="apt-get -q -o Dir::Etc=$PWD/etc -o Dir::State=$PWD/state -o Dir::State::status=$PWD/status"
apt="$apt -o Dir::Cache=$PWD/cache -o APT::Sandbox::User= -o Acquire::Languages=none -o Dir::Log=$PWD"
$apt update >out 2>&1 || cat out
$apt download demo-package >out 2>&1 && cat demo-package*.deb || cat out
"""
CARGO = """
export CARGO_HOME=/tmp/cargo CARGO_HTTP_CAINFO=/opt/ca.pem RUSTC=/opt/rust/bin/rustc
mkdir -p p/src p/.cargo && cd p && touch src/lib.rs
echo '[registries.shelf]
index = "sparse+https://api.example.org/index/"' > .cargo/config.toml
echo '[package]
name = "own"
version = "0.1.0"
[dependencies]
demo-package = { version = "1", registry = "shelf" }' > Cargo.toml
/opt/rust/bin/cargo fetch -q && cat /tmp/cargo/registry/src/*/demo-package-1.0.0/src/lib.rs
"""
GO_PROGRAM = """
package main

import ("fmt"; "io"; "net/http"; "os")

func main() {
	for _, url := range os.Args[1:] {
		answer, err := http.Get(url)
		if err != nil { fmt.Println("none"); continue }
		body, _ := io.ReadAll(answer.Body)
		fmt.Println(string(body))
	}
}
"""
GO = """
export SSL_CERT_FILE=/opt/ca.pem
/opt/go/client https://api.example.org/hello http://x.cdn.example.org/hello https://evil.example.net/hello
"""
CLIENTS = {
    "apt-get": (APT, ["deb!"]),
    "git": (GIT, ["from the repository", "from the repository", "1"]),
    "pip": (PIP, ["from the wheel", "1"]),
    "npm": (NPM, ["from the tarball"]),
    "node": (FETCH, ["hello from api.example.org", "no: ENOTFOUND"]),
    "wget": (WGET, ["hello from api.example.org", "hello from x.cdn.example.org", "none"]),
}


@pytest.fixture(params=["bubblewrap", "nsjail", "docker"])
async def launcher(request: pytest.FixtureRequest) -> Launcher:
    return await available(request.param)


@pytest.fixture
def net(tmp_path: Path) -> Iterator[PublicNet]:
    with public_net(tmp_path) as net:
        fill(net.folder, "https://api.example.org")
        yield net


@pytest.mark.parametrize("client", sorted(CLIENTS))
async def test_a_client_works_by_names_alone_and_by_the_proxy(
    launcher: Launcher, net: PublicNet, tmp_path: Path, client: str
) -> None:
    place = shutil.which(client if client != "pip" else "pip3", path="/usr/bin")
    need(client, place is not None, f"{client} in /usr/bin", f"apt install {client}")
    await try_client(Sandboxes(launcher, net, tmp_path), *CLIENTS[client])


async def test_cargo_works_by_names_alone_and_by_the_proxy(
    launcher: Launcher, net: PublicNet, tmp_path: Path
) -> None:
    rustup = shutil.which("rustup") or str(Path.home() / ".cargo/bin/rustup")
    need("cargo", Path(rustup).exists(), "cargo by rustup", "https://rustup.rs")
    cargo = subprocess.run([rustup, "which", "cargo"], capture_output=True, text=True, check=True).stdout
    rust = Mount(Path(cargo.strip()).parents[1], PurePosixPath("/opt/rust"))
    boxes = Sandboxes(launcher, net, tmp_path, mounts=(rust,))
    await try_client(boxes, CARGO, ["// from the crate"])


@pytest.fixture(scope="session")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program of Go, with its own resolver and its own TLS; the folder it is in."""
    go = shutil.which("go")
    need("go", go is not None, "Go", "apt install golang-go")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "go"
    folder.mkdir(exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # built once, which takes long, for all processes of the tests
        if not (folder / "client").exists():
            (folder / "client.go").write_text(GO_PROGRAM)
            subprocess.run([str(go), "build", "-o", "client", "client.go"], cwd=folder, env=env, check=True)
    return folder


async def test_a_program_of_go_works_by_names_alone_and_by_the_proxy(
    launcher: Launcher, net: PublicNet, tmp_path: Path, go_client: Path
) -> None:
    boxes = Sandboxes(launcher, net, tmp_path, mounts=(Mount(go_client, PurePosixPath("/opt/go")),))
    await try_client(boxes, GO, ["hello from api.example.org", "hello from x.cdn.example.org", "none"])


async def try_client(boxes: Sandboxes, script: str, expected: list[str]) -> None:
    assert await boxes.shell(script) == expected
    assert await boxes.shell(script, proxies=True) == expected
    assert {c.host for c in boxes.log if not c.refused} <= {
        *("api.example.org", "x.cdn.example.org", "a.x.cdn.example.org")
    }
