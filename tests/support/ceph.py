"""A real S3 server: Ceph's RADOS gateway with one monitor and one disk, all of it in a temporary folder.

It keeps its objects in memory, knows one user, and needs no rights. It is up after about 12 s, so it is
started once for a session of tests.
"""

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from botocore.session import get_session

from support.processes import answers, free_port, server, wait_until

ACCESS_KEY = "hutch-test"
SECRET_KEY = "hutch-test-secret"
PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool")
UNPACKED = Path(__file__).parents[2] / ".cache/ceph"
_UP_S = 50
_TRIES = 5

# memstore: nothing of a test needs the disk. tcp_nodelay: else every small PUT waits 40 ms for a late ACK.
_CONFIG = """
[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{mon_port}
ms bind msgr2 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
run dir = {folder}/run
log file = {folder}/log/$name.log
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
crash dir = {folder}/crash
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
osd objectstore = memstore
memstore device bytes = 4294967296
log to stderr = false
{places}
[mon.a]
mon data = {folder}/mon
mon addr = 127.0.0.1:{mon_port}
[osd.0]
osd data = {folder}/osd
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw enable usage log = false
rgw enable ops log = false
rgw zone = default
"""


# What lies below denied/ is for nobody
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::hutch/denied/*"}
    ],
}


@dataclass(frozen=True)
class S3Server:
    """Where it is, who may use it, and a bucket that is there."""

    url: str
    bucket: str = "hutch"
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY


@dataclass(frozen=True)
class Programs:
    """Ceph's programs: the environment that they are started in, and lines for their configuration."""

    env: Mapping[str, str]
    places: str = ""


def programs() -> Programs | None:
    """Those of this machine, else those that `scripts/install-store-servers` has unpacked; None: neither."""
    if all(shutil.which(name) for name in PROGRAMS):
        return Programs(os.environ)
    libraries = next(UNPACKED.glob("usr/lib/*-linux-gnu"), None)
    if libraries is None:
        return None
    paths = {
        "PATH": [UNPACKED / "usr/bin", UNPACKED / "usr/sbin"],
        "LD_LIBRARY_PATH": [libraries, libraries / "ceph", *UNPACKED.glob("lib/*-linux-gnu")],
        "PYTHONPATH": [UNPACKED / "usr/lib/python3/dist-packages"],
    }
    env = {
        name: ":".join(filter(None, [*map(str, added), os.environ.get(name)]))
        for name, added in paths.items()
    }
    places = [
        f"plugin dir = {libraries}/ceph",
        f"erasure code dir = {libraries}/ceph/erasure-code",
        f"osd class dir = {libraries}/rados-classes",
    ]
    return Programs({**os.environ, **env}, "\n".join(places))


@contextmanager
def gateway(folder: Path) -> Iterator[S3Server]:
    """The server, from nothing to its end."""
    found = programs()
    assert found, "scripts/install-store-servers"
    for part in ("mon", "osd", "run", "log", "crash"):
        (folder / part).mkdir()
    mon_port, port, fsid = free_port(), free_port(), str(uuid.uuid4())
    config = folder / "ceph.conf"
    config.write_text(
        _CONFIG.format(folder=folder, fsid=fsid, mon_port=mon_port, port=port, places=found.places)
    )
    env = {**found.env, "CEPH_CONF": str(config), "CEPH_ARGS": f"-c {config}"}
    log = folder / "output"

    def call(*argv: str) -> None:
        with log.open("ab") as output:
            done = subprocess.run(argv, check=False, stdout=output, stderr=output, env=env, timeout=_UP_S)
        assert done.returncode == 0, f"{argv}: {log.read_text(errors='replace')[-4000:]}"

    monmap = str(folder / "monmap")
    call("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v1:127.0.0.1:{mon_port}]", monmap)
    call("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
    with ExitStack() as running:  # ended in reverse: a disk whose monitor is gone ignores SIGTERM
        running.enter_context(server(["ceph-mon", "-f", "-i", "a"], log, env))
        disk = str(uuid.uuid4())
        call("ceph", "--connect-timeout", "20", "osd", "new", disk)
        call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        _start_disk(running, folder, log, env)
        call(
            *("radosgw-admin", "user", "create", "--uid=hutch", "--display-name=hutch"),
            *(f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}"),
        )
        front = running.enter_context(server(["radosgw", "-f", "-n", "client.rgw.a"], log, env))
        wait_until(lambda: answers(port), front, log, _UP_S)
        made = S3Server(f"http://127.0.0.1:{port}")
        _make_bucket(made)
        yield made


def _start_disk(running: ExitStack, folder: Path, log: Path, env: Mapping[str, str]) -> None:
    """A disk that asks its monitor before it has learned the cluster's id is told "wrong fsid" and ends."""
    said = folder / "log/osd.0.log"
    for _ in range(_TRIES):
        said.unlink(missing_ok=True)
        disk = running.enter_context(server(["ceph-osd", "-f", "-i", "0"], log, env))
        while disk.poll() is None:
            if said.exists() and "done with init" in said.read_text(errors="replace"):
                return
            time.sleep(0.05)
    raise AssertionError(f"Ceph's disk did not come up:\n{log.read_text(errors='replace')[-4000:]}")


def _make_bucket(made: S3Server) -> None:
    client = get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=made.url,
        aws_access_key_id=made.access_key,
        aws_secret_access_key=made.secret_key,
    )
    client.create_bucket(Bucket=made.bucket)
    client.put_bucket_policy(Bucket=made.bucket, Policy=json.dumps(_POLICY))
    client.close()
