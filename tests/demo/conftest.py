"""The demo's modules stand beside it in scripts/, where a program finds what it imports."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
