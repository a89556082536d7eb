"""Checks what tiers, and those who are limited to some, have to do with the rest of a configuration."""

from dataclasses import asdict

from hutch.config.narrowing import Tier
from hutch.config.reader import Reader
from hutch.config.records import Config


def check_tiers(reader: Reader, config: Config) -> None:
    """Raise HutchError `config_invalid` for a name that means nothing, or a tier beyond the policy."""
    for name, tier in config.tiers.items():
        _check_tier(reader, config, name, tier)
    named: dict[str, tuple[str, ...]] = {"policy.tier": (config.policy.tier,) if config.policy.tier else ()}
    named |= {f"principals.{name}.tiers": principal.tiers for name, principal in config.principals.items()}
    for where, tiers in named.items():
        for tier_name in tiers:
            if tier_name not in config.tiers:
                known = f"known: {', '.join(sorted(config.tiers))}"
                raise reader.error(where, f"names no tier: {tier_name!r}", known)


def _check_tier(reader: Reader, config: Config, name: str, tier: Tier) -> None:
    if tier.method and tier.method not in config.methods:
        raise reader.error(f"tiers.{name}.method", f"names no method: {tier.method!r}")
    for network in tier.networks:
        if network not in config.networks:
            raise reader.error(f"tiers.{name}.networks", f"names no network: {network!r}")
    for secret in {text.removesuffix(":env") for text in tier.secrets or ()} - config.secrets.keys():
        raise reader.error(f"tiers.{name}.secrets", f"names no secret: {secret!r}")
    for table in ("limits", "max_limits"):
        for limit, value in asdict(getattr(tier, table)).items():
            most = getattr(config.policy.max_limits, limit)
            if value is not None and value > most:
                key = f"tiers.{name}.{table}.{limit.removesuffix('_bytes')}"
                raise reader.error(key, f"is {value}, above policy.max_limits, {most}", "a tier only narrows")
