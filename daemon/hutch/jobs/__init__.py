"""Jobs: one document that says everything about a run, and the events by which it tells what happens.

    job = read_job(data, "SPEC.json")               # raises HutchError `job_invalid`, `job_unsupported`
    config = configuration_of(job, owners_tables, os.environ, "SPEC.json")

The document and the events are frozen, versioned records. Their schemas are published: docs/job.schema.json
and docs/job-events.schema.json. A job that is taken has a folder, which tells whether somebody lives who
takes it.
"""

from hutch.jobs.document import Granted, Job, configuration_of
from hutch.jobs.door import JobDoor
from hutch.jobs.events import (
    EVENT,
    Begun,
    Connected,
    Ended,
    Event,
    Failure,
    Final,
    Noted,
    Output,
    Recorded,
    Used,
)
from hutch.jobs.folder import JobBegun, JobFolder
from hutch.jobs.journal import JobJournal
from hutch.jobs.reading import read_job

__all__ = [
    "EVENT",
    "Begun",
    "Connected",
    "Ended",
    "Event",
    "Failure",
    "Final",
    "Granted",
    "Job",
    "JobBegun",
    "JobDoor",
    "JobFolder",
    "JobJournal",
    "Noted",
    "Output",
    "Recorded",
    "Used",
    "configuration_of",
    "read_job",
]
