"""What docs/guarantees.md says besides its tables."""

HEAD = """# What Hutch guarantees

> For a run under a policy, whatever the code inside does: (1) no byte outside the granted roots changes;
> (2) no byte outside the granted reads is observable; (3) no packet leaves except by a rule of the
> policy; (4) no secret is inside that was not put there by name; (5) nothing of it runs after it has
> ended; (6) a volume is always some committed state; (7) what cannot be enforced here does not start.

Guarantees are measured, not claimed. A method's probe starts a real sandbox with canaries (`hutch doctor`
shows what it saw on your host), a run whose policy needs more than the probe has seen is refused with
`guarantee_missing`, and each run's record names the mechanism that enforced each part. Behind that stands
a suite of attacks: every one is made on real sandboxes, beside the allowed action that must still work.
`hutch method test NAME` makes those of a method on your host, for any method that you have configured.
This page is written from the suite's results by `scripts/guarantees.py`.
"""

GUARANTEES_LEGEND = """Each cell is what root's daemon and an ordinary user's get, in this order. **H**:
held. **-**: not held; a run that needs it is refused. **·**: the method does not run
here for this user; docs/methods.md says what it needs. In *italics* are abilities:
what a method can do besides.
"""

METHODS_LEGEND = """Root's daemon and an ordinary user's, in this order. **H**: the attack fails, and
what is allowed beside it works. **R**: the method has not shown the guarantee that
this rests on; a run that needs it is refused, and nothing was started. **-**: says
nothing about this method. **N**: does *not hold*; see below. **·**: it does not run
here.
"""

DAEMON_LEGEND = """What is the daemon's own, whatever the method. *held*: the attack fails and
everything else goes on. *refused*: the request itself is turned down. A daemon that
runs as root, or as an ordinary user.
"""

TAIL = """## What does not hold yet

{open}- **Limits without control groups** (an ordinary user on a host that delegates none): memory is a limit
  on each process and a watch over their sum that looks ten times a second, processes are counted by
  `RLIMIT_NPROC`, CPU time is bounded by the number of CPUs. The record of a run says which mechanism it
  was.
- **The setgid bit** can be set on a file in a volume. The file lies in a folder of the daemon's that no other
  user can enter, and a check-out does not carry the bit on.
- **A forged result** of a kept sandbox's guest is not attacked by the suite: code beside the guest runs as
  the same user, so what it says of its own sandbox's commands is no more than the sandbox's word.
- **A sandbox of root's daemon** has a user that is the host's root without any of its rights. Prefer an
  ordinary user.
- **`pass_env`** and `--secret NAME:env` hand values *into* the sandbox; every command inside can read them.
- **Network rules**: what is said inside TLS is not looked at, but for hosts whose requests are read. A
  host that serves others' names too can be asked for those by whoever may reach it. What else is not there
  yet stands at the end of docs/design/0006-egress.md.
- **Workspaces** are shown with all that is in them: what a hard link made before the start shows is shown,
  and in a writable workspace it cannot be written. A socket that the host makes there *during* a run can
  be connected to. A protected file that the host itself replaces during a run is not protected any more: the
  run is killed, some milliseconds later. Code that waits for that moment can write the new file first; that
  it has changed is told.
- **A kernel of its own** is given by gVisor alone: elsewhere a flaw of the host's kernel is within reach of
  the system calls that the filter allows.
- **Launch mode** (`builtin`, `launcher`): the protection is the agent's own, or another program's. Nothing is
  claimed of it and the suite attacks nothing; docs/methods.md says what was seen.
- **`lima`, `wsl` and `safehouse`** have never been run: no host for them was at hand. Their words are tested
  as text. What they give, the probe measures where they run.
- **Google Cloud Storage** is tested only as far as the wire: which conditions are sent and how answers are
  read. No server that can stand in its place honours them. In a real bucket they are shown by the race that
  every store must pass before its first use. S3 is tested on Ceph's gateway 16, Azure on Azurite, both with
  the engine's own suite; Amazon S3, MinIO, R2 and Azure itself by nobody yet.
- An audit log is still to come; its cases are marked *not applicable*.
"""
