"""Where processes of one run of the tests find what others of it have measured of methods."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

if "HUTCH_TEST_PROBES" not in os.environ:  # a child shall find the same
    os.environ["HUTCH_TEST_PROBES"] = tempfile.mkdtemp(prefix="hutch-probes-")
    atexit.register(shutil.rmtree, os.environ["HUTCH_TEST_PROBES"], ignore_errors=True)
PROBES = Path(os.environ["HUTCH_TEST_PROBES"])
