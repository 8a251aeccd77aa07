"""What a server needs before it can run deployments: the project's place, pools, queues, deployments. Nothing is made twice.

A deployment that somebody changed in the UI stays so until the project itself changes: then all are deployed again.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import VariableCreate, VariableUpdate, WorkPoolCreate
from prefect.client.schemas.schedules import SCHEDULE_TYPES, CronSchedule, IntervalSchedule, RRuleSchedule
from prefect.exceptions import ObjectNotFound

from pullbench.errors import IncompleteError
from pullbench.serving.project import Project

FOLDER_VARIABLE = "pullbench_checkout"
"""The name is part of prefect.yaml files that people have."""
_DEPLOYED_VARIABLE = "pullbench_deployed"
_AT_ONCE_IN_A_QUEUE = 1
"""Queues are for what measures: two at once on one machine would measure each other."""


class Provision:
    """Brings a server to what a project says; each step tells in a few words what it made."""

    def __init__(self, client: SyncPrefectClient, project: Project, pools: Sequence[str]) -> None:
        self._client = client
        self._project = project
        self._pools = list(dict.fromkeys([*pools, *project.pools]))

    def place(self) -> str | None:
        """Where runs work. The former place, if another project was served from this server before."""
        before = self._variable(FOLDER_VARIABLE)
        here = str(self._project.working_folder)
        if before != here:
            self._set_variable(FOLDER_VARIABLE, here)
        return before if before not in (None, here) else None

    def pools(self) -> list[str]:
        """Make the process pools and queues that are missing; their names."""
        made = []
        for name in self._pools:
            try:
                self._client.read_work_pool(name)
            except ObjectNotFound:
                self._client.create_work_pool(
                    WorkPoolCreate(name=name, type="process", description="Runs flows where its worker stands.")
                )
                made.append(name)
        for pool, queue in self._project.queues:
            try:
                self._client.read_work_queue_by_name(queue, work_pool_name=pool)
            except ObjectNotFound:
                self._client.create_work_queue(
                    queue,
                    description="What measures: one at a time.",
                    concurrency_limit=_AT_ONCE_IN_A_QUEUE,
                    work_pool_name=pool,
                )
                made.append(f"{pool}/{queue}")
        return made

    def deploy(self, environment: Mapping[str, str]) -> bool:
        """Deploy prefect.yaml if the project changed or a deployment is missing; whether it was done.

        Raises IncompleteError with what `prefect deploy` said, where it fails.
        """
        fingerprint = self._project.fingerprint()
        names = {str(entry["name"]) for entry in self._project.deployments}
        there = {entry.name for entry in self._client.read_deployments()}
        if self._variable(_DEPLOYED_VARIABLE) == fingerprint and names <= there:
            return False
        with tempfile.TemporaryDirectory(prefix="pullbench-") as temporary:
            file = Path(temporary) / "prefect.yaml"
            file.write_text(yaml.safe_dump(self._project.to_deploy()), encoding="utf-8")
            done = subprocess.run(
                [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)],
                cwd=self._project.working_folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise IncompleteError(
                f"{self._project.folder / 'prefect.yaml'} was not deployed: {' '.join(said[-3:]) or 'no reason was given'}"
            )
        self._set_variable(_DEPLOYED_VARIABLE, fingerprint)
        return True

    def schedules(self) -> list[str]:
        """Every active schedule, such as `stress-test: 0 3 1 1,4,7,10 * Etc/UTC`."""
        found = []
        for deployment in sorted(self._client.read_deployments(), key=lambda entry: entry.name):
            active = [] if deployment.paused else [entry.schedule for entry in deployment.schedules if entry.active]
            found += [f"{deployment.name}: {_when(schedule)}" for schedule in active]
        return found

    def _variable(self, name: str) -> str | None:
        found = self._client.read_variable_by_name(name)
        return None if found is None else str(found.value)

    def _set_variable(self, name: str, value: str) -> None:
        if self._client.read_variable_by_name(name) is None:
            self._client.create_variable(VariableCreate(name=name, value=value, tags=["pullbench"]))
        else:
            self._client.update_variable(VariableUpdate(name=name, value=value, tags=["pullbench"]))


def _when(schedule: SCHEDULE_TYPES) -> str:
    match schedule:
        case CronSchedule():
            return f"{schedule.cron} {schedule.timezone or 'UTC'}"
        case IntervalSchedule():
            return f"every {schedule.interval}"
        case RRuleSchedule():
            return f"{schedule.rrule} {schedule.timezone or 'UTC'}"
    return "never"
