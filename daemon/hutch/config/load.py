"""Reads the file, fills in what depends on the host, and checks what spans several keys."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from hutch.config.alerts import Alert, check_alerts
from hutch.config.bundles import Bundle, check_bundles
from hutch.config.kinds import is_name
from hutch.config.narrowing import TIERS, Tier
from hutch.config.places import expand_home, find, place
from hutch.config.profiles import NETWORKS
from hutch.config.reader import Reader, keys_of, meant
from hutch.config.records import (
    OWNER,
    Agent,
    Config,
    Daemon,
    Limits,
    Logs,
    Method,
    Network,
    Policy,
    Principal,
    Retention,
    Storage,
    VolumeRules,
)
from hutch.config.secret_checks import check_secrets
from hutch.config.secrets import SECRETS, Secret, built_in_secrets
from hutch.config.spending import Budget, check_budgets, read_prices
from hutch.config.tiers import check_tiers
from hutch.errors import HutchError

METHOD_KINDS = (
    "account",
    "bubblewrap",
    "builtin",
    "docker",
    "firejail",
    "gvisor",
    "landlock",
    "launcher",
    "lima",
    "nsjail",
    "nspawn",
    "pid",
    "podman",
    "safehouse",
    "wrapper",
    "wsl",
)
METHODS = {"bubblewrap": Method("bubblewrap")}
# What is there without being written down
AGENTS = {
    "claude": Agent(),
    "codex": Agent(adapter="codex", network="openai", secrets=("openai",)),
    "gemini": Agent(adapter="gemini", network="google", secrets=("gemini",)),
    "opencode": Agent(adapter="opencode"),
}
# What a table begins with, by its adapter
_ADAPTERS = {**AGENTS, "command": Agent(adapter="command", network="", secrets=())}

R = TypeVar("R")

_TAKEN = {"principals": (OWNER,), "network": ("none", "learn")}  # names that mean something else

_SECTIONS = (
    "daemon",
    "storage",
    "policy",
    "methods",
    "agents",
    "network",
    "principals",
    "tiers",
    "volumes",
    "retention",
    "logs",
    "prices",
    "budgets",
    "bundles",
    "secrets",
    "alerts",
)
_SOCKET_BYTES = 107  # sun_path holds 108 with its closing NUL: unix(7)


def load(path: Path | None, env: Mapping[str, str]) -> Config:
    """Read `path`, else the file that `find` finds; where there is none, the defaults hold.

    A file that somebody named must exist: another policy than the one meant is no fallback.

    Raises:
        HutchError: `config_missing`, `config_invalid`.
    """
    file = path or find(env, is_root=os.geteuid() == 0)
    if file is None:
        return parse("", env)
    file = file.absolute()  # it is passed on to a daemon that stands elsewhere
    try:
        text = file.read_bytes().decode()
    except FileNotFoundError:
        raise HutchError(
            "config_missing", f"{file} does not exist", "correct --config or HUTCH_CONFIG, or write the file"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise HutchError("config_invalid", f"{file}: cannot be read: {error}") from None
    return parse(text, env, file)


def parse(text: str, env: Mapping[str, str], file: Path | None = None) -> Config:
    """Read a configuration's text; `env` gives the places that it leaves open. Pure.

    Raises:
        HutchError: `config_invalid`.
    """
    source = str(file) if file else "configuration"
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise HutchError("config_invalid", f"{source}: is not TOML: {error}") from None
    return read(document, env, source, file)


def read(document: Mapping[str, object], env: Mapping[str, str], source: str, file: Path | None) -> Config:
    """Read a configuration's tables; `source` names them in errors. Pure.

    Raises:
        HutchError: `config_invalid`.
    """
    reader = Reader(source)
    document = {name: expand_home(value, env) for name, value in document.items()}
    reader.refuse_unknown(document, _SECTIONS, "")
    daemon = place(reader.record(Daemon, document.get("daemon", {}), "daemon", Daemon()), env)
    storage = reader.record(Storage, document.get("storage", {}), "storage", Storage())
    secrets = document.get("secrets", {})
    config = Config(
        daemon=daemon,
        storage=storage if storage.url else replace(storage, url=(daemon.state / "store").as_uri()),
        policy=reader.record(Policy, document.get("policy", {}), "policy", Policy()),
        methods=_methods(reader, document.get("methods", {})),
        agents=_agents(reader, document.get("agents", {})),
        networks=_named(reader, Network, document.get("network", {}), "network", NETWORKS),
        principals=_named(reader, Principal, document.get("principals", {}), "principals", {}),
        tiers=_named(reader, Tier, document.get("tiers", {}), "tiers", TIERS),
        volumes=reader.record(VolumeRules, document.get("volumes", {}), "volumes", VolumeRules()),
        retention=reader.record(Retention, document.get("retention", {}), "retention", Retention()),
        logs=reader.record(Logs, document.get("logs", {}), "logs", Logs()),
        prices=read_prices(reader, document.get("prices", {})),
        bundles=_named(reader, Bundle, document.get("bundles", {}), "bundles", {}),
        budgets=_named(reader, Budget, document.get("budgets", {}), "budgets", {}),
        alerts=_named(reader, Alert, document.get("alerts", {}), "alerts", {}),
        secrets=_named(reader, Secret, secrets, "secrets", built_in_secrets(secrets)),
        file=file,
        document=MappingProxyType(document),
    )
    _check_daemon(reader, config.daemon)
    _check_storage(reader, config.storage)
    _check_policy(reader, config)
    _check_agents(reader, config)
    check_tiers(reader, config)
    named = {f"agents.{name}.bundles": agent.bundles for name, agent in config.agents.items()}
    check_bundles(reader, config.bundles, named)
    check_budgets(reader, config.budgets, {OWNER: None, **config.principals})
    check_secrets(reader, config)
    check_alerts(reader, config.alerts)
    return config


# Named tables ------------------------------------------------------------


def _methods(reader: Reader, value: object) -> Mapping[str, Method]:
    methods = dict(METHODS)
    for name, raw in reader.table(value, "methods").items():
        where = _checked_name(reader, "methods", name)
        options = dict(reader.table(raw, where))
        kind = options.pop("kind", name)
        if kind not in METHOD_KINDS:
            raise reader.error(
                f"{where}.kind",
                f"must be one of {', '.join(METHOD_KINDS)}, not {kind!r}",
                meant(str(kind), METHOD_KINDS),
            )
        methods[name] = Method(str(kind), MappingProxyType(options))
    return MappingProxyType(methods)


def _agents(reader: Reader, value: object) -> Mapping[str, Agent]:
    agents = dict(AGENTS)
    for name, raw in reader.table(value, "agents").items():
        where = _checked_name(reader, "agents", name)
        said = reader.table(raw, where)
        base = _ADAPTERS.get(str(said.get("adapter", name)), Agent())
        agents[name] = reader.record(Agent, raw, where, _for_model(base, str(said.get("model", ""))))
    return MappingProxyType(agents)


def _for_model(agent: Agent, model: str) -> Agent:
    """Return what an agent of many providers begins with: the network and the key of its model's."""
    provider = model.partition("/")[0]
    secret = "gemini" if provider == "google" else provider
    if agent.adapter != "opencode" or provider not in NETWORKS or secret not in SECRETS:
        return agent
    return replace(agent, network=provider, secrets=(secret,))


def _named(
    reader: Reader, record: type[R], value: object, section: str, built_in: Mapping[str, R]
) -> Mapping[str, R]:
    records = dict(built_in)
    for name, raw in reader.table(value, section).items():
        where = _checked_name(reader, section, name)
        records[name] = reader.record(record, raw, where, built_in.get(name) or record())
    return MappingProxyType(records)


def _checked_name(reader: Reader, section: str, name: str) -> str:
    taken = _TAKEN.get(section, ("none",))
    if not is_name(name) or name in taken:
        others = " or ".join(map(repr, taken))
        raise reader.error(f"{section}.{name!r}", f"must be named by a-z, 0-9, - and _, and not {others}")
    return f"{section}.{name}"


# What spans several keys ------------------------------------------------------------


def _check_daemon(reader: Reader, daemon: Daemon) -> None:
    if not daemon.listen.is_loopback and not daemon.allow_remote:
        raise reader.error(
            "daemon.listen",
            f"is {daemon.listen}, which other machines can reach",
            "listen on 127.0.0.1, or state daemon.allow_remote = true",
        )
    if len(os.fsencode(daemon.socket)) > _SOCKET_BYTES:
        raise reader.error(
            "daemon.socket",
            f"is longer than the {_SOCKET_BYTES} bytes that the kernel takes: {daemon.socket}",
            "give daemon.socket a shorter path",
        )


def _check_storage(reader: Reader, storage: Storage) -> None:
    if storage.credentials_env and storage.credentials_file != Path():
        raise reader.error(
            "storage.credentials_env", "and storage.credentials_file are both there", "keep one of them"
        )
    if storage.profile and not storage.url.startswith("s3:"):
        raise reader.error("storage.profile", f"means nothing to {storage.url}", "it is for s3:// only")


def _check_policy(reader: Reader, config: Config) -> None:
    policy = config.policy
    if policy.method not in config.methods:
        raise reader.error("policy.method", f"names no method: {policy.method!r}", _known(config.methods))
    for network in policy.networks:
        if network not in config.networks:
            raise reader.error("policy.networks", f"names no network: {network!r}", _known(config.networks))
    for name, key in keys_of(Limits).items():
        default, most = getattr(policy.limits, key.field), getattr(policy.max_limits, key.field)
        if default > most:
            raise reader.error(
                f"policy.limits.{name}", f"is {default}, above policy.max_limits.{name}, {most}"
            )


def _check_agents(reader: Reader, config: Config) -> None:
    for name, agent in config.agents.items():
        for network in agent.networks:
            if network not in config.networks:
                where = f"agents.{name}.network"
                raise reader.error(where, f"names no network: {network!r}", _known(config.networks))


def _known(names: Mapping[str, object]) -> str:
    return f"known: {', '.join(sorted(names))}"
