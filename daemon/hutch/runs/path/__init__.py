"""The path of one run: its plan becomes a sandbox, a process, commits and a final record."""
