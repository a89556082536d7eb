"""Deadlines that hold though the daemon is dead: one small process beside it, which acts only then."""

from hutch.deadlines.deadlines import Deadlines, let_keeper_go

__all__ = ["Deadlines", "let_keeper_go"]
