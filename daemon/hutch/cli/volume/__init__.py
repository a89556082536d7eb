"""`hutch volume`: files that last, and the history of what became of them."""

from hutch.cli.lazy import LazyGroup

_HERE = "hutch.cli.volume"
_COMMANDS = {
    "ls": (f"{_HERE}.look:ls", "List the volumes, or a folder of one."),
    "tree": (f"{_HERE}.look:tree", "Show all that is in a folder."),
    "cat": (f"{_HERE}.look:cat", "Print a file."),
    "get": (f"{_HERE}.get:get", "Copy a file or folder out of a volume."),
    "put": (f"{_HERE}.put:put", "Copy a file or folder into a volume."),
    "stat": (f"{_HERE}.care:stat", "Say what a volume holds and what it costs."),
    "log": (f"{_HERE}.history:log", "List the snapshots."),
    "diff": (f"{_HERE}.diff:diff", "Show what differs between snapshots."),
    "restore": (f"{_HERE}.history:restore", "Go back to a snapshot."),
    "fork": (f"{_HERE}.history:fork", "Make a new volume that begins as another is."),
    "tag": (f"{_HERE}.history:tag", "Give a snapshot a name, under which it is kept."),
    "untag": (f"{_HERE}.history:untag", "Take a tag away."),
    "share": ("hutch.cli.share:share", "Say who else may do what with a volume."),
    "rm": (f"{_HERE}.care:rm", "Remove a volume."),
    "bring-back": (f"{_HERE}.care:bring_back", "Undo a removal."),
    "thin": (f"{_HERE}.tidy:thin", "Let go of older snapshots."),
    "gc": (f"{_HERE}.tidy:gc", "Delete what nothing needs any more."),
    "check": (f"{_HERE}.care:check", "Prove a volume whole."),
}

volume = LazyGroup(
    "volume", commands_at=_COMMANDS, help="Look into volumes and their history, and take care of them."
)
