"""Alerts: what the owner is told when nobody watches, by a program of his or over HTTP.

    async with alerting(config.alerts) as alerts:
        state.watch = alerts                                 # is shown all that is stored, and never waits

What is worth an alert is read off the records of runs and connections as they are stored, whoever made them.
What is told holds a run's own words (a host that it asked for), as data: a program reads it as JSON.
"""

from hutch.alerts.noticing import Notice, Notices
from hutch.alerts.sending import alerting

__all__ = ["Notice", "Notices", "alerting"]
