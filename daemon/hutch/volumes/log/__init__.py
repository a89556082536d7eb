"""A volume's log in its store: entries, checkpoints, and the state that they add up to."""
