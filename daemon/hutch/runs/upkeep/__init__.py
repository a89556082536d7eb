"""What the daemon does besides runs: its store, its history, what predecessors left, what works here."""
