"""The command line as a program of its own, on the fake service: for signals, pipes and terminals.

python -m support.cli run -- true
"""

import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from hutch.cli import main
from hutch.cli.invocation import Invocation
from hutch.config import Config
from hutch_mcp_tools.service import SandboxService
from support.mcp_service import fake_service

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def connect_to_fake(_: Config) -> AsyncGenerator[SandboxService]:
    async with fake_service() as service:
        yield service


def environment(home: Path) -> Mapping[str, str]:
    """What a child needs to run this module, and nothing of ours."""
    roots = ("daemon", "launchers", "mcp_tools", "tests")
    paths = os.pathsep.join(str(ROOT / root) for root in roots)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": paths, "LANG": "C.UTF-8"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "support.cli", *arguments]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Invocation(connect=connect_to_fake)))
