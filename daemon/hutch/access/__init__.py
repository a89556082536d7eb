"""Who may do what with which volume: principals, their tokens and rights, and how a volume is named.

    access = Access(config, state)
    rights = await access.rights("ci")             # of one principal, at this moment
    rights.require(name, Level.WRITE)              # raises HutchError `volume_unknown`, `volume_read_only`, …

Denies by default: a principal of the configuration may do what a pattern or a share grants it, and the owner
principal, who has the daemon's own token, may do all.
"""

from hutch.access.access import Access, Principals, Share
from hutch.access.naming import read_name, spell
from hutch.access.rights import Level, Rights
from hutch.access.templates import interpolate
from hutch.access.tokens import AccessTokens

__all__ = [
    "Access",
    "AccessTokens",
    "Level",
    "Principals",
    "Rights",
    "Share",
    "interpolate",
    "read_name",
    "spell",
]
