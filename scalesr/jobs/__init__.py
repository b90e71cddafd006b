"""A run as one reviewable file, and the settings of a run that files and the command line share."""

from __future__ import annotations

from scalesr.jobs.job_file import JobFile, run_job
from scalesr.jobs.schema import job_defaults, job_schema
from scalesr.jobs.settings import RunSettings

__all__ = ["JobFile", "RunSettings", "job_defaults", "job_schema", "run_job"]
