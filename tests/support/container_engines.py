"""Container engines of the tests' own: nothing of theirs is shared with, or left to, this machine's."""

import atexit
import os
import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

if "HUTCH_TEST_ENGINES" not in os.environ:  # a child that imports this shall find the same engines
    # a name of ours, as `mkdtemp` gives names that no method can have
    os.environ["HUTCH_TEST_ENGINES"] = f"{tempfile.gettempdir()}/hutch-engines-{os.urandom(4).hex()}"
    Path(os.environ["HUTCH_TEST_ENGINES"]).mkdir(mode=0o700)
    os.environ["HUTCH_TEST_ENGINES_OWNER"] = str(os.getpid())
    Path(os.environ["HUTCH_TEST_ENGINES"]).chmod(0o711)  # to the socket
_FOLDER = Path(os.environ["HUTCH_TEST_ENGINES"])
_OWNER = int(os.environ["HUTCH_TEST_ENGINES_OWNER"])
OWN = _FOLDER.name.rpartition("-")[2]  # of methods' names here: other processes test the same ones
DOCKER_HOST = f"unix://{_FOLDER}/docker.sock"
_OPTIONS = (
    *("--cgroup-manager", "cgroupfs", "--events-backend", "none"),
    *("--runtime", "runc"),  # crun refuses a host on which both versions of control groups have controllers
)
PODMAN = ("podman", "--root", f"{_FOLDER}/podman", "--runroot", f"{_FOLDER}/podman-run", *_OPTIONS)
ROOTLESS = (
    "podman",
    "--root",
    "{home}/store",
    "--runroot",
    "{home}/run",
    "--storage-driver",
    "vfs",
    *_OPTIONS,
)
USER = 1500  # an ordinary user for root's tests, who may use the engine; no account is needed
_START_S = 90.0


def start_engine(method: str) -> None:
    """See that the engine of a method runs, if it is one that has to and can."""
    if method.startswith("docker") and os.geteuid() == 0 and shutil.which("dockerd"):
        _start_docker()


@cache
def _start_docker() -> None:
    if Path(DOCKER_HOST.removeprefix("unix://")).exists():
        return  # of the process that started this one
    argv = ["dockerd", "--host", DOCKER_HOST, "--data-root", f"{_FOLDER}/docker"]
    argv += ["--exec-root", f"{_FOLDER}/docker-run", "--pidfile", f"{_FOLDER}/docker.pid"]
    argv += ["--group", str(USER), "--bridge=none", "--iptables=false", "--ip6tables=false"]
    with (_FOLDER / "docker.log").open("wb") as log:
        daemon = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    atexit.register(_stop, daemon)
    until = time.monotonic() + _START_S
    version = ["docker", "--host", DOCKER_HOST, "version"]
    while subprocess.run(version, check=False, capture_output=True).returncode:
        if daemon.poll() is not None or time.monotonic() > until:
            raise AssertionError((_FOLDER / "docker.log").read_text()[-2000:])
        time.sleep(0.05)


def _stop(daemon: "subprocess.Popen[bytes]") -> None:
    daemon.terminate()
    daemon.wait(90)


@atexit.register
def _clean() -> None:
    if os.getpid() != _OWNER:
        return
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        if (target := line.split()[1]).startswith(f"{_FOLDER}/"):
            subprocess.run(["umount", "--lazy", target], check=False, capture_output=True)
    for folder in (_FOLDER, *Path("/run/hutch/containers").glob(f"*-{OWN}")):
        shutil.rmtree(folder, ignore_errors=True)
