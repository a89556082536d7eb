"""An alert's table: of what the owner is told, and how."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from hutch.config.kinds import URL, Choice, Each
from hutch.config.reader import Reader
from hutch.config.secrets import Words

EVENTS = ("failed", "budget", "denied")


@dataclass(frozen=True, slots=True)
class Alert:
    """A program of this host that reads an alert as JSON, or a URL to which it is posted."""

    on: Annotated[tuple[str, ...], Each(Choice(EVENTS))] = EVENTS
    command: Annotated[tuple[str, ...], Words()] = ()
    webhook: Annotated[str, URL] = ""


def check_alerts(reader: Reader, alerts: Mapping[str, Alert]) -> None:
    """Raise HutchError `config_invalid` for an alert that says not one way in which it is told."""
    for name, alert in alerts.items():
        if bool(alert.command) == bool(alert.webhook):
            hint = 'command = ["/usr/local/bin/tell"], or webhook = "https://hooks.example.org/x"'
            raise reader.error(f"alerts.{name}", "must have either command or webhook", hint)
