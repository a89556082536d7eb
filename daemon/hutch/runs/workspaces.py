"""Whether a workspace is where its path says: the one check of a request that has to look at the disk."""

from pathlib import Path

from hutch.config import Config
from hutch.errors import HutchError
from hutch.mounts import WORKSPACE
from hutch.policy import Plan


def refuse_links(plan: Plan, config: Config) -> None:
    """Raise HutchError `workspace_denied` if a link below a granted folder leads the workspace elsewhere.

    A repository can carry such a link, and the path through it still begins with the granted folder. The
    granted folder itself may be reached through links: its owner made those.
    """
    for mount in plan.mounts:
        if mount.target == WORKSPACE and not _is_beneath(mount.source, config.policy.workspaces):
            raise HutchError(
                "workspace_denied",
                f"{mount.source} leads through a symbolic link",
                "name the folder itself; the daemon's owner lists what may be mounted in policy.workspaces",
            )


def _is_beneath(folder: Path, roots: tuple[Path, ...]) -> bool:
    real = folder.resolve()
    granted = (root for root in roots if folder.is_relative_to(root))
    return any(real == root.resolve() / folder.relative_to(root) for root in granted)
