"""Folders of this host that a sandbox works in: what is protected there, what changed, how it is applied."""

from hutch.workspaces.placeholders import Placeholders
from hutch.workspaces.records import GrantedWorkspace, Mode, read_workspace

__all__ = ["GrantedWorkspace", "Mode", "Placeholders", "read_workspace"]
