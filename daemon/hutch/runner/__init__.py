"""Takes one job to its end, in a process of its own, with a daemon or without one."""
