"""How much may be done with the workspace of a wish, where a tier or a repository bounds it. Pure."""

from dataclasses import replace
from pathlib import Path

from hutch.config.narrowing import MODES
from hutch.errors import HutchError
from hutch.policy.narrowing import Allowed
from hutch.policy.wish import Wish


def folder_of(text: str | None) -> Path | None:
    """The folder of a workspace as it is asked for; None: there is none, or it is no absolute path."""
    if text is None or "\0" in text:
        return None
    folder = Path(_parts(text)[0])
    return folder if folder.is_absolute() and ".." not in folder.parts else None


def bounded_workspace(wish: Wish, allowed: Allowed, *, is_owner: bool) -> Wish:
    """Return the wish with a workspace that may be had so. Raises HutchError `workspace_denied`.

    Where no mode is asked for it is that of the tier, if this caller may have it so, else `ro`.
    """
    if wish.workspace is None:
        return wish
    folder, mode = _parts(wish.workspace)
    if not mode and wish.tier and _may_have(allowed, is_owner=is_owner):
        mode = allowed.workspace
    if MODES.index(mode or "ro") > MODES.index(allowed.workspace):
        raise HutchError(
            "workspace_denied",
            f"{folder} may not be had as {mode or 'ro'} in this run: at most {allowed.workspace}",
            _causes(allowed) or "ask for less",
        )
    return replace(wish, workspace=f"{folder}:{mode or 'ro'}")


def _causes(allowed: Allowed) -> str:
    """Who narrowed workspaces so far; whatever else was narrowed has no part in it."""
    return "; ".join(said for said in allowed.narrowed if said.endswith(f": workspace {allowed.workspace}"))


def _may_have(allowed: Allowed, *, is_owner: bool) -> bool:
    mode = allowed.workspace
    return mode in allowed.config.policy.workspace_modes and (is_owner or mode != "rw")


def _parts(text: str) -> tuple[str, str]:
    folder, _, mode = text.rpartition(":")
    return (folder, mode) if folder and mode in MODES[1:] else (text, "")
