"""Ends what is left of a run or session, for the keeper: `python -m hutch.deadlines.end KIND OPTIONS ID`."""

import json
import sys

import anyio

from hutch_launchers.registry import build_launcher


def main() -> None:
    """Do what a daemon does that finds it."""
    kind, options, run_id = sys.argv[1:]
    anyio.run(build_launcher(kind, json.loads(options)).reap, run_id)


if __name__ == "__main__":
    main()
