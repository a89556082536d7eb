"""Narrows a configuration, by a tier and by a repository's own file. Pure; nothing here grants more."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hutch.config import Config, Limits, Policy
from hutch.config.narrowing import MODES, Bounds, Narrowing, Repository
from hutch.errors import HutchError
from hutch.policy.bounds import called, figure
from hutch_launchers.spec import Guarantee


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a request is decided by: the configuration as it was narrowed, and who narrowed it to what."""

    config: Config
    owners: Policy  # before anybody narrowed it: what a repository's word is held against
    networks: frozenset[str]  # that may be asked for
    workspace: str = "rw"  # the most that may be done with one
    narrowed: tuple[str, ...] = ()  # for the record: "tier review: network agent"
    denied: tuple[tuple[Path, str], ...] = ()  # folders, and paths in them that are not shown
    secrets: tuple[tuple[str, ...], ...] = ()  # each a list of those that may be asked for at most

    def least_secrets(self, granted: Iterable[str]) -> tuple[str, ...]:
        """Return what is left of a grant. Whoever names a secret does not mean its value itself."""
        left = tuple(granted)
        for most in self.secrets:
            names = {text.removesuffix(":env") for text in most}
            kept = (text if text in most else text.removesuffix(":env") for text in left)
            left = tuple(dict.fromkeys(text for text in kept if text.removesuffix(":env") in names))
        return left


def allowed(config: Config, networks: Sequence[str], own_networks: frozenset[str] = frozenset()) -> Allowed:
    """Return what the owner's policy allows; an agent may have its own networks besides."""
    policy = config.policy
    needs = policy.needs | ({Guarantee.FILESYSTEM} if policy.force_sandbox else set())
    return Allowed(
        replace(config, policy=replace(policy, needs=needs)), policy, frozenset(networks) | own_networks
    )


def with_tier(base: Allowed, name: str, own_networks: frozenset[str] = frozenset()) -> Allowed:
    """Narrow by a tier of the configuration. Raises HutchError `tier_unknown`."""
    tier = base.config.tiers.get(name)
    if tier is None:
        known = ", ".join(sorted(base.config.tiers))
        raise HutchError("tier_unknown", f"no tier is called {name!r}", f"known: {known}")
    narrow = _narrowed(base, tier, f"tier {name}", own_networks)
    config = narrow.config
    limits = _least(config.policy.limits, tier.max_limits)
    most = _least(config.policy.max_limits, tier.max_limits)
    limits = _least(_replaced(limits, tier.limits), Bounds(**asdict(most)))
    policy = replace(config.policy, limits=limits, max_limits=most)
    methods: Mapping[str, object] = config.methods
    if tier.method:
        if tier.method not in config.methods:
            raise HutchError(
                "method_unknown",
                f"tier {name} and what else narrows this run leave no method",
                "ask for another tier",
            )
        policy = replace(policy, method=tier.method)
        config = replace(config, methods={tier.method: config.methods[tier.method]})
    elif policy.method not in methods:
        policy = replace(policy, method=next(iter(methods)))
    said = [f"method {tier.method}"] if tier.method else []
    return _noted(
        replace(narrow, config=replace(config, policy=policy)),
        f"tier {name}",
        said + _bounds(tier.max_limits),
    )


def with_repository(
    base: Allowed, repository: Repository, source: str, own_networks: frozenset[str] = frozenset()
) -> Allowed:
    """Narrow by what a repository says of itself in the file `source`.

    Raises HutchError `repository_widens` for what only the owner may say, `tier_unknown`.
    """
    _refuse_wider(base, repository, source)
    if repository.tier:
        base = with_tier(base, repository.tier, own_networks)
    narrow = _narrowed(base, repository, source, own_networks)
    policy = narrow.config.policy
    policy = replace(
        policy,
        limits=_least(policy.limits, repository.limits),
        max_limits=_least(policy.max_limits, repository.limits),
    )
    denied = ((Path(source).parent, path) for path in repository.denied)
    narrow = replace(narrow, config=replace(narrow.config, policy=policy), denied=(*narrow.denied, *denied))
    said = [f"denied {path}" for path in repository.denied]
    said += [f"protected {name}" for name in repository.protected]
    return _noted(narrow, source, [*said, *_bounds(repository.limits)])


def _narrowed(base: Allowed, narrowing: Narrowing, by: str, own_networks: frozenset[str]) -> Allowed:
    policy = base.config.policy
    networks = base.networks
    if narrowing.network == "none":
        networks = frozenset()
    elif narrowing.network == "agent":
        networks &= own_networks
    if narrowing.networks:
        networks &= own_networks.union(narrowing.networks)
    workspace = min(base.workspace, narrowing.workspace or base.workspace, key=MODES.index)
    policy = _with_host_folders(policy, narrowing.host_folders)
    policy = replace(policy, needs=policy.needs | narrowing.needs)
    if narrowing.network in ("none", "agent") or narrowing.networks:
        policy = replace(policy, network_hosts=())
    narrow = replace(base, config=replace(base.config, policy=policy), networks=networks, workspace=workspace)
    if narrowing.secrets is not None:
        narrow = replace(narrow, secrets=(*narrow.secrets, narrowing.secrets))
    said = {
        "workspace": narrowing.workspace,
        "network": narrowing.network,
        "networks": ", ".join(narrowing.networks),
        "host folders": narrowing.host_folders,
        "needs": ", ".join(sorted(narrowing.needs)),
        "secrets": None if narrowing.secrets is None else ", ".join(narrowing.secrets) or "none",
    }
    return _noted(narrow, by, [f"{what} {value}" for what, value in said.items() if value])


def _with_host_folders(policy: Policy, most: str) -> Policy:
    if most == "none":
        return replace(policy, readable=(), writable=())
    if most == "read":
        return replace(
            policy, readable=tuple(dict.fromkeys((*policy.readable, *policy.writable))), writable=()
        )
    return policy


def _noted(narrow: Allowed, by: str, said: Sequence[str]) -> Allowed:
    return replace(narrow, narrowed=(*narrow.narrowed, *(f"{by}: {what}" for what in said)))


def _refuse_wider(base: Allowed, repository: Repository, source: str) -> None:
    """Compare with what the owner grants, not with what is left of it: a tier makes no mistake of a file."""
    most = base.owners.max_limits
    for name, value in asdict(repository.limits).items():
        if value is not None and value > getattr(most, name):
            raise widens(
                source,
                f"limits.{name.removesuffix('_bytes')}",
                f"{figure(name, value)} is over policy.max_limits",
            )
    for network in repository.networks:
        if network not in base.config.networks:
            raise widens(source, "networks", f"there is no network {network!r}")
    for secret in repository.secrets or ():
        if secret.removesuffix(":env") not in base.config.secrets:
            raise widens(source, "secrets", f"there is no secret {secret!r}")


def widens(source: str, key: str, why: str) -> HutchError:
    """The refusal of a key by which a repository would get more than its owner's policy gives."""
    return HutchError(
        "repository_widens",
        f"{source}: {key}: {why}; a repository may only narrow what it gets",
        "take the key out; what a sandbox may have the daemon's owner says, in his configuration",
    )


def _least(limits: Limits, most: Bounds) -> Limits:
    bounds = asdict(most)
    return Limits(
        **{
            name: value if bounds[name] is None else min(value, bounds[name])
            for name, value in asdict(limits).items()
        }
    )


def _replaced(limits: Limits, said: Bounds) -> Limits:
    return replace(limits, **{name: value for name, value in asdict(said).items() if value is not None})


def _bounds(most: Bounds) -> list[str]:
    return [
        f"{called(name)} at most {figure(name, value)}"
        for name, value in asdict(most).items()
        if value is not None
    ]
