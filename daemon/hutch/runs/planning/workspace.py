"""Which folders are no workspace, whatever the policy grants: behind a link, obeyed by the host, or ours."""

from pathlib import Path

from hutch.config import Config
from hutch.errors import HutchError
from hutch.policy import Plan
from hutch.runs.planning.repository import protected_in
from hutch.workspaces import Mode
from hutch.workspaces.around import why_obeyed


def refuse_workspace(plan: Plan, config: Config) -> None:
    """Raise HutchError `workspace_denied` if the workspace is not the folder of its path, or is obeyed.

    A repository can carry a link, and the path through it still begins with the granted folder. The granted
    folder itself may be reached through links: its owner made those.
    """
    if plan.workspace is None:
        return
    folder = plan.workspace.folder
    if not _is_beneath(folder, config.policy.workspaces):
        raise HutchError(
            "workspace_denied",
            f"{folder} leads through a symbolic link",
            "name the folder itself; the daemon's owner lists what may be mounted in policy.workspaces",
        )
    if plan.workspace.mode in (Mode.RW, Mode.REVIEW) and (
        why := why_obeyed(folder, config.policy.workspaces, protected_in(folder, config))
    ):
        raise HutchError(
            "workspace_denied",
            f"this machine would obey what is written into {folder}: {why}",
            "have the folder above it, in which this is protected, or this one to read: :ro",
        )
    own = (config.daemon.state, config.daemon.cache, config.daemon.socket.parent)
    for place in (path.resolve() for path in own):
        if place.is_relative_to(folder.resolve()) or folder.resolve().is_relative_to(place):
            raise HutchError(
                "workspace_denied",
                f"{folder} holds what the daemon keeps in {place}",
                "use a folder of one project",
            )


def _is_beneath(folder: Path, roots: tuple[Path, ...]) -> bool:
    real = folder.resolve()
    granted = (root for root in roots if folder.is_relative_to(root))
    return any(real == root.resolve() / folder.relative_to(root) for root in granted)
