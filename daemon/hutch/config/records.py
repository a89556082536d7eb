"""The records of the configuration: a field is a key, its annotation says what may stand there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from hutch.config.alerts import Alert
from hutch.config.bundles import Bundle
from hutch.config.http_rules import HttpRules, RequestRules
from hutch.config.kinds import (
    URL,
    Address,
    AnyOf,
    Bounds,
    Choice,
    Each,
    Flag,
    Grants,
    Listen,
    Number,
    Place,
    Size,
    StarredPlace,
    Template,
    Text,
    Whole,
)
from hutch.config.narrowing import PROTECTED_NAME, TIERS, Tier
from hutch.config.network_kinds import ByteBudgets, DeniedHosts, Hosts, HostService, Origins
from hutch.config.protected import PROTECTED
from hutch.config.secrets import SECRETS, Secret
from hutch.config.spending import Budget, Price
from hutch.destinations import Pattern
from hutch.origins import Origin
from hutch_launchers.spec import Guarantee

OWNER = "owner"  # the principal who has the daemon's own token; it may do all

_MIB = 1 << 20
_GIB = 1 << 30
_GB = 10**9
_DAY_S = 86_400.0
_LISTEN = Address("127.0.0.1", 8750)

_WORKSPACE = Text(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,253}[A-Za-z0-9]", "2 to 255 of A-Z a-z 0-9 . _ -, alphanumeric at both ends"
)
_NAME = r"([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])"
_HOST = Text(_NAME, "a host name without a port")
_ORIGIN = Text(rf"https?://{_NAME}(:[0-9]{{1,5}})?", "an origin such as https://hutch.example.org")
_IMAGE = Text(r"[A-Za-z0-9*][A-Za-z0-9._/:@*-]{0,254}", "an image's name with its tag, or a pattern with *")
_GRANTED_SECRET = Text(r"[a-z0-9_-]+(:env)?", "the name of a secret, or NAME:env for its value itself")
_VARIABLE = Text(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable")
_STORE = Text(
    r"(file:///[^\s]*|(s3|az|gs)://[^\s/?#]+(/[^\s?#]*)?)?",
    "file:///FOLDER, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX, gs://BUCKET/PREFIX, or empty",
)


@dataclass(frozen=True, slots=True)
class Daemon:
    """The process: where it listens, keeps things and how it ends. Paths are absolute once loaded."""

    listen: Annotated[Address, Listen()] = _LISTEN
    allow_remote: Annotated[bool, Flag()] = False
    allowed_hosts: Annotated[tuple[str, ...], Each(_HOST)] = ()
    allowed_origins: Annotated[tuple[str, ...], Each(_ORIGIN)] = ()
    socket: Annotated[Path, Place(may_be_empty=True)] = Path()
    state: Annotated[Path, Place(may_be_empty=True)] = Path()
    cache: Annotated[Path, Place(may_be_empty=True)] = Path()
    cache_max_bytes: Annotated[int, Size(0)] = 10 * _GB
    workspace: Annotated[str, _WORKSPACE] = "default"
    log_level: Annotated[str, Choice(("debug", "info", "warning", "error"))] = "info"
    log_max_bytes: Annotated[int, Size(64 * 1024)] = 64 * _MIB
    stop_grace_s: Annotated[float, Number(0, 300, "seconds")] = 5.0


@dataclass(frozen=True, slots=True)
class Storage:
    """Where volumes are kept. Secrets are named, never written here."""

    url: Annotated[str, _STORE] = ""
    endpoint_url: Annotated[str, URL] = ""
    region: Annotated[str, Text()] = ""
    addressing: Annotated[str, Choice(("auto", "path", "virtual"))] = "auto"
    account: Annotated[str, Text()] = ""
    credentials_env: Annotated[tuple[str, ...], Each(_VARIABLE)] = ()
    credentials_file: Annotated[Path, Place(may_be_empty=True)] = Path()
    profile: Annotated[str, Text()] = ""
    connect_timeout_s: Annotated[float, Number(0.1, 300, "seconds")] = 5.0
    timeout_s: Annotated[float, Number(1, 3600, "seconds")] = 30.0
    retry_s: Annotated[float, Number(0, 3600, "seconds")] = 30.0
    max_requests: Annotated[int, Whole(1, 256)] = 16
    lease_s: Annotated[float, Number(2, 3600, "seconds")] = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds of one sandbox."""

    wall_s: Annotated[float, Number(1, _DAY_S, "seconds")] = 120.0
    memory_bytes: Annotated[int, Size(16 * _MIB, key="memory")] = 2 * _GIB
    pids: Annotated[int, Whole(2, 1 << 22)] = 512
    cpus: Annotated[float, Number(0.01, 4096)] = 2.0
    disk_bytes: Annotated[int, Size(_MIB, key="disk")] = _GIB
    open_files: Annotated[int, Whole(16, 1 << 20)] = 4096
    output_bytes: Annotated[int, Size(1, key="output")] = 4 * _GIB


_MAX_LIMITS = Limits(
    wall_s=_DAY_S,
    memory_bytes=32 * _GIB,
    pids=8192,
    cpus=64.0,
    disk_bytes=32 * _GIB,
    open_files=1 << 17,
    output_bytes=1024 * _GIB,
)
_MODES = ("ro", "rw", "review", "worktree")
_NEEDS = frozenset({Guarantee.FILESYSTEM, Guarantee.NETWORK, Guarantee.PROCESSES, Guarantee.SYSCALLS})


@dataclass(frozen=True, slots=True)
class Policy:
    """What a caller may have: `limits` where none is asked for, `max_limits` at most."""

    method: Annotated[str, Text()] = "bubblewrap"
    needs: Annotated[frozenset[Guarantee], AnyOf(Guarantee)] = _NEEDS
    force_sandbox: Annotated[bool, Flag()] = True
    tier: Annotated[str, Text()] = ""
    readable: Annotated[tuple[Path, ...], Each(Place())] = ()
    writable: Annotated[tuple[Path, ...], Each(Place())] = ()
    denied: Annotated[tuple[Path, ...], Each(StarredPlace())] = ()
    workspaces: Annotated[tuple[Path, ...], Each(Place())] = ()
    workspace_modes: Annotated[tuple[str, ...], Each(Choice(_MODES))] = _MODES
    protected: Annotated[tuple[str, ...], Each(PROTECTED_NAME)] = ()
    unprotected: Annotated[tuple[str, ...], Each(PROTECTED_NAME)] = ()
    review_copy_max_bytes: Annotated[int, Size(0, key="review_copy_max")] = 4 * _GIB
    reviews_max_bytes: Annotated[int, Size(0, key="reviews_max")] = 32 * _GIB
    agents_may_apply: Annotated[bool, Flag()] = False
    secrets: Annotated[tuple[str, ...], Each(_GRANTED_SECRET)] = ()
    networks: Annotated[tuple[str, ...], Each(Text())] = ()
    network_hosts: Annotated[tuple[Pattern, ...], Each(Hosts())] = ()
    images: Annotated[tuple[str, ...], Each(_IMAGE)] = ()
    max_volumes: Annotated[int, Whole(0, 100)] = 10
    max_concurrent_runs: Annotated[int, Whole(1, 10_000)] = 64
    max_concurrent_turns: Annotated[int, Whole(1, 10_000)] = 16
    max_queued_turns: Annotated[int, Whole(0, 10_000)] = 256
    kept_idle_s: Annotated[float, Number(1, _DAY_S, "seconds")] = 3600.0
    limits: Limits = Limits()
    max_limits: Limits = _MAX_LIMITS

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders of this host that sandboxes are granted, with what is in them."""
        return (*self.workspaces, *self.writable)

    @property
    def protected_names(self) -> tuple[str, ...]:
        """The files and folders that stay as they are in a workspace that is written, at any depth."""
        return tuple(name for name in (*PROTECTED, *self.protected) if name not in self.unprotected)


@dataclass(frozen=True, slots=True)
class Method:
    """A configured way to make a sandbox; what `options` mean is its kind's to know and to check."""

    kind: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent that may be started by its name."""

    adapter: Annotated[str, Choice(("claude", "codex", "command", "gemini", "opencode"))] = "claude"
    command: Annotated[tuple[str | tuple[str, ...], ...], Template()] = ()  # (): the adapter looks for it
    resume: Annotated[tuple[str | tuple[str, ...], ...], Template()] = ()  # of the adapter `command`
    session_pattern: Annotated[str, Text()] = ""  # of the adapter `command`
    model: Annotated[str, Text()] = ""  # "": the agent's own default
    network: Annotated[str, Text()] = "anthropic"  # names, with commas between them
    base_url: Annotated[str, URL] = ""  # "": the agent's own
    needs_key: Annotated[bool, Flag()] = True  # False: what is at `base_url` asks for none
    secrets: Annotated[tuple[str, ...], Each(Text())] = ("anthropic",)
    pass_env: Annotated[tuple[str, ...], Each(_VARIABLE)] = ()
    memory_bytes: Annotated[int, Size(64 * _MIB, key="memory")] = 4 * _GIB
    max_minutes: Annotated[float, Number(0.1, 1440, "minutes")] = 60.0
    bundles: Annotated[tuple[str, ...], Each(Text())] = ()
    stop_grace_s: Annotated[float, Number(0, 300, "seconds")] = 10.0
    retries: Annotated[int, Whole(0, 100)] = 5
    retry_s: Annotated[float, Number(0, 600, "seconds")] = 15.0
    hutch: Annotated[bool, Flag()] = False  # it may use us, as far as its own run goes
    hutch_runs: Annotated[int, Whole(1, 1000)] = 4  # that it may have at work at once

    @property
    def networks(self) -> frozenset[str]:
        return frozenset(name for name in re.split(r"[\s,]+", self.network) if name)


@dataclass(frozen=True, slots=True)
class Network:
    """Destinations that a sandbox may be given. Only a host service may be a private or loopback address."""

    allow: Annotated[tuple[Pattern, ...], Each(Hosts())] = ()
    deny: Annotated[tuple[Pattern, ...], Each(DeniedHosts())] = ()
    host_services: Annotated[tuple[Pattern, ...], Each(HostService())] = ()
    max_bytes: Annotated[Mapping[Pattern, int], ByteBudgets()] = field(default_factory=dict)
    http: Annotated[HttpRules, RequestRules()] = field(default_factory=dict)
    metered: Annotated[tuple[Origin, ...], Each(Origins())] = ()


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody else than the owner who may call, with a token of his own."""

    volumes: Annotated[Mapping[str, str], Grants(("none", "ro", "rw", "owner"))] = field(default_factory=dict)
    tiers: Annotated[tuple[str, ...], Each(Text())] = ()
    secrets: Annotated[tuple[str, ...], Each(_GRANTED_SECRET)] = ()
    max_concurrent_runs: Annotated[int, Whole(0, 10_000)] = 0  # 0: as many as the policy


_BOUNDS = Bounds((("max_bytes", Size(0)), ("max_files", Whole(0, 1 << 40)), ("max_history_bytes", Size(0))))


@dataclass(frozen=True, slots=True)
class VolumeRules:
    """How large volumes may grow, 0: without a bound, and how they are looked after."""

    max_bytes: Annotated[int, Size(0)] = 0
    max_files: Annotated[int, Whole(0, 1 << 40)] = 0
    max_history_bytes: Annotated[int, Size(0)] = 0
    quotas: Annotated[Mapping[str, Mapping[str, int]], _BOUNDS] = field(default_factory=dict)
    removed_kept_s: Annotated[float, Number(_DAY_S, 3650 * _DAY_S, "seconds")] = 7 * _DAY_S
    housekeeping_s: Annotated[float, Number(0, 30 * _DAY_S, "seconds")] = 3600.0  # 0: never


@dataclass(frozen=True, slots=True)
class Retention:
    """Which snapshots are kept: all that are young, and of older ones the newest of each period."""

    keep_all_s: Annotated[float, Number(0, 36_500 * _DAY_S, "seconds")] = _DAY_S
    keep_last: Annotated[int, Whole(0, 1 << 20)] = 10
    hourly: Annotated[int, Whole(0, 1 << 20)] = 48
    daily: Annotated[int, Whole(0, 1 << 20)] = 30
    weekly: Annotated[int, Whole(0, 1 << 20)] = 12
    monthly: Annotated[int, Whole(0, 1 << 20)] = 24


@dataclass(frozen=True, slots=True)
class Logs:
    """How long what ended runs have written is kept; 0: without a bound. Their records stay."""

    kept_days: Annotated[int, Whole(0, 3650)] = 30
    max_bytes: Annotated[int, Size(0)] = 5 * _GB  # of all runs together


@dataclass(frozen=True, slots=True)
class Config:
    """Everything, checked. `file` is None where no file was read."""

    daemon: Daemon = Daemon()
    storage: Storage = Storage()
    policy: Policy = Policy()
    methods: Mapping[str, Method] = field(default_factory=dict)
    agents: Mapping[str, Agent] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    principals: Mapping[str, Principal] = field(default_factory=dict)
    tiers: Mapping[str, Tier] = field(default_factory=lambda: TIERS)
    volumes: VolumeRules = VolumeRules()
    retention: Retention = Retention()
    logs: Logs = Logs()
    secrets: Mapping[str, Secret] = field(default_factory=lambda: SECRETS)
    prices: Mapping[str, Price] = field(default_factory=dict)  # by the names of models
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    alerts: Mapping[str, Alert] = field(default_factory=dict)
    bundles: Mapping[str, Bundle] = field(default_factory=dict)
    file: Path | None = None
    document: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)  # as it was read
