"""Writes the command into a bundle and becomes the runtime. Standard library only: it runs as a program.

Arguments: the bundle's folder, the runtime's words, `--`, the command's words.
"""

import json
import os
import sys
from pathlib import Path


def main(folder: str, *words: str) -> None:
    """Does not return."""
    end = words.index("--")
    file = Path(folder, "config.json")
    config = json.loads(file.read_text(encoding="utf-8"))
    config["process"]["args"] += words[end + 1 :]
    file.write_text(json.dumps(config), encoding="utf-8")
    os.execv(words[0], words[:end])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(*sys.argv[1:])
