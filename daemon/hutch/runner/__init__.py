"""Takes one job to its end, in a process of its own, with a daemon or without one.

`prepared` makes of a job what a daemon would make of the request: a plan, a run that tells of itself by
events (`telling`), and its work. `taking` takes it along the path of a run. Two ways lead there:

- `here`, for `hutch job run`: events go to standard output (`printing`);
- `apart`, for a daemon: `server` forks it, events go to a file of the job's folder, and `control` is the
  socket by which that daemon, or the next one, steers the run.
"""
