"""Which folder of this host a run may have, and how. Pure."""

from hutch.access import Rights
from hutch.config import Config
from hutch.errors import HutchError
from hutch.policy.granting import how_to_grant
from hutch.workspaces import GrantedWorkspace, Mode, read_workspace


def grant_workspace(text: str | None, config: Config, rights: Rights) -> GrantedWorkspace | None:
    """Read the workspace of a wish. Raises HutchError `workspace_denied`."""
    if text is None:
        return None
    asked = read_workspace(text)
    if not any(asked.folder.is_relative_to(root) for root in config.policy.workspaces):
        raise HutchError(
            "workspace_denied",
            f"{asked.folder} is not within the folders that may be mounted",
            how_to_grant(asked.folder, "workspaces", config),
        )
    if asked.mode not in config.policy.workspace_modes or (
        asked.mode in (Mode.RW, Mode.WORKTREE) and not rights.is_owner
    ):
        raise HutchError(
            "workspace_denied",
            f"{asked.folder} may not be had as {asked.mode}",
            f"granted here: {', '.join(sorted(config.policy.workspace_modes))}; "
            "rw and worktree are the daemon's owner's alone",
        )
    return asked
