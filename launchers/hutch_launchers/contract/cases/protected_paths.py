"""Protected paths: in a workspace that is written, what the host would run by itself stays as it is."""

from hutch_launchers.contract.case import Case
from hutch_launchers.spec import Ability, Guarantee

_FILES = frozenset({Guarantee.FILESYSTEM})
_NESTED = frozenset({Ability.NESTED})

CASES = (
    Case("protected/absent", "Agents', editors' and shells' files that were not there", _FILES, _NESTED),
    Case("protected/present", "Such files that are there, by every way to change one", _FILES, _NESTED),
    Case(
        "protected/git",
        "git's hooks and configuration, while add, commit, branch and stash work",
        _FILES,
        _NESTED,
    ),
    Case("protected/pointers", "A `.git` file, a submodule's hooks and configuration", _FILES, _NESTED),
    Case("protected/parents", "Renaming a folder above a protected path", _FILES, _NESTED),
)
