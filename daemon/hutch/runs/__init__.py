"""The path of a run, and all that waits on it: one-off commands, kept sandboxes, turns of agents.

Its rooms, from the ground up, none of which knows a later one:

- `planning`: from a request to its plan; `path`: from the plan to an ended run. `runs` has all that live.
- `gate`: who may call what; `upkeep`: what the daemon does besides runs, and after its predecessors.
- `commands`, `turns`: what runs are made for; `runners`: those that processes of their own take.
- `groups` of turns; `service` and `volume_service`: all of it on the wire's records.
"""
