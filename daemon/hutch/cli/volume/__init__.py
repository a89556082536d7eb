"""`hutch volume`: files that last, and the history of what became of them."""

from hutch.cli.lazy import LazyGroup

_HERE = "hutch.cli.volume"
_COMMANDS = {
    "ls": (f"{_HERE}.look:ls", "List the volumes, or a folder of one."),
    "tree": (f"{_HERE}.look:tree", "Show all that is in a folder."),
    "cat": (f"{_HERE}.look:cat", "Print a file."),
    "get": (f"{_HERE}.get:get", "Copy a file or folder out of a volume."),
    "put": (f"{_HERE}.put:put", "Copy a file or folder into a volume."),
    "share": ("hutch.cli.share:share", "Say who else may do what with a volume."),
    "log": (f"{_HERE}.history:log", "List the snapshots."),
}

volume = LazyGroup(
    "volume", commands_at=_COMMANDS, help="Look into volumes and their history, and take care of them."
)
