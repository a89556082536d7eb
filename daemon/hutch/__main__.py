"""`python -m hutch` is `hutch`."""

import sys

from hutch.cli import main

if __name__ == "__main__":  # a process that works for the daemon loads this module too
    sys.exit(main())
