"""The path of a run, and all that waits on it: one-off commands, kept sandboxes, turns of agents."""
