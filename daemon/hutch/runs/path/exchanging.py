"""What a run has of exchanges: their steps, what its sandbox has to trust, its placeholders."""

import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from anyio import to_thread

from hutch.egress import InForce, Requests
from hutch.egress.exchange import Exchanges, Step
from hutch.errors import HutchError
from hutch.policy import GrantedSecret, Plan
from hutch.runs.path.private import PrivateFolder
from hutch.secrets import Held, Secrets, hold, read_value
from hutch_launchers.spec import Mount

_INSIDE = PurePosixPath("/opt/certificates.pem")
# Read by programs that know none of the variables below
_SYSTEMS = PurePosixPath("/etc/ssl/certs/ca-certificates.crt")
_BUNDLES = (_SYSTEMS, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
# Read by OpenSSL, Go, uv and Ruby; Node.js; requests and pip; other curls; git; cargo; Codex; Deno
_VARIABLES = (
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "CODEX_CA_CERTIFICATE",
    "DENO_CERT",
)

_log = logging.getLogger(__name__)

Fill = Callable[[Mapping[str, str]], Mapping[str, str]]  # from placeholders, to variables of the sandbox


def nothing_to_fill(_: Mapping[str, str]) -> Mapping[str, str]:
    """Of a command that refers to no secret."""
    return {}


@dataclass(frozen=True, slots=True)
class Exchanging:
    """Of one run, from before its sandbox starts until it has ended."""

    exchanges: Exchanges
    env: Mapping[str, str] = field(repr=False)  # beneath the command's own
    mounts: tuple[Mount, ...]
    placeholders: Mapping[str, str] = field(repr=False)  # of its secrets, by their names

    def env_of(self, command: Mapping[str, str], fill: Fill) -> dict[str, str]:
        """Return the environment of a command that refers to secrets by `fill`."""
        return {**self.env, **command, **fill(self.placeholders)}


@asynccontextmanager
async def exchanging(
    run_id: str, plan: Plan, private: PrivateFolder, network: InForce, steps: Sequence[Step]
) -> AsyncGenerator[Exchanging]:
    """Have the values of a run's secrets for as long as it lives, and what its sandbox is given for them.

    `steps` come before that of the secrets: they never see a value. Raises HutchError `secret_missing`,
    `secret_unreadable`, `secret_invalid`.
    """
    held, env = await _held(run_id, plan)
    judging = [Requests(network)] if network.network.http else []
    exchanges = Exchanges(run_id, [*judging, *steps, *([Secrets(run_id, held)] if held else [])])
    network.reads = exchanges.reads
    mounts: tuple[Mount, ...] = ()
    if exchanges.certificate is not None:
        file = await to_thread.run_sync(_write_bundle, private.make(), exchanges.certificate)
        targets = [_INSIDE] + ([_SYSTEMS] if plan.image or _is_file(_SYSTEMS) else [])
        mounts = tuple(Mount(file, target) for target in targets)
        env |= dict.fromkeys(_VARIABLES, str(_INSIDE))
    yield Exchanging(exchanges, env, mounts, {each.name: each.phantom for each in held})


async def _held(run_id: str, plan: Plan) -> tuple[list[Held], dict[str, str]]:
    """Read the values; return what may be put into requests, and the variables inside."""
    held: list[Held] = []
    env: dict[str, str] = {}
    for granted in plan.secrets:
        value = await _value(granted)
        if value is None:
            continue
        if granted.is_value_inside:
            _log.warning("run=%s secret=%s: its value itself goes into the sandbox", run_id, granted.name)
            env[granted.secret.variable] = value.decode("utf-8", "surrogateescape")
            continue
        held.append(hold(granted.name, granted.secret, value))
        if granted.secret.env:
            env[granted.secret.env] = held[-1].phantom
    return held, env


async def _value(granted: GrantedSecret) -> bytes | None:
    try:
        return await read_value(granted.name, granted.secret)
    except HutchError as error:
        if granted.is_optional and error.code == "secret_missing":
            return None
        raise


def _write_bundle(folder: Path, certificate: bytes) -> Path:
    """Write what the host trusts, and the run's own authority, into a file that all inside may read."""
    file = folder / "certificates.pem"
    file.write_bytes(_hosts_bundle() + b"\n" + certificate)
    file.chmod(0o644)
    return file


def _hosts_bundle() -> bytes:
    configured = ssl.get_default_verify_paths().cafile  # SSL_CERT_FILE counts, as it does for what we trust
    for path in (configured, *_BUNDLES):
        if path and Path(path).is_file():
            return Path(path).read_bytes()
    return b""


def _is_file(path: PurePosixPath) -> bool:
    """Whether this host has a file of its own there, in whose place another can be shown."""
    return Path(path).is_file() and Path(path).resolve() == Path(path)
