"""What a server needs before it can run deployments: the project's directory, pools, queues, deployments, schedules.

Nothing is made twice. A deployment that somebody changed in the UI stays so until the project changes: then all are deployed
again. A schedule with `active: false` in prefect.yaml waits until its deployment's spec names a registry of the user's; then
it is switched on, once. From then on its switch in the UI counts.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import VariableCreate, VariableUpdate, WorkPoolCreate
from prefect.client.schemas.schedules import SCHEDULE_TYPES, CronSchedule, IntervalSchedule, RRuleSchedule
from prefect.exceptions import ObjectNotFound

from pullbench.errors import IncompleteError
from pullbench.serving.placeholder import why_it_waits
from pullbench.serving.project import Project

FOLDER_VARIABLE = "pullbench_checkout"
"""The name is part of prefect.yaml files that people have."""
_DEPLOYED_VARIABLE = "pullbench_deployed"
_SWITCHED_ON_VARIABLE = "pullbench_schedules_switched_on"
_RUNS_OF_A_QUEUE = 1
"""Queues are for runs that measure: two on one machine would measure each other."""


class Provision:
    """Sets a server up as a project says; each step returns what it made."""

    def __init__(self, client: SyncPrefectClient, project: Project, pools: Sequence[str]) -> None:
        self._client = client
        self._project = project
        self._pools = list(dict.fromkeys([*pools, *project.pools]))
        self._waiting = {
            str(entry["name"]): why
            for entry in project.deployments
            if entry.get("schedules") and (why := _why_it_waits(entry, project.working_folder)) is not None
        }

    def place(self) -> str | None:
        """Set the directory that runs work in. Returns the former one, if this server served another project before."""
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
                    WorkPoolCreate(name=name, type="process", description="Runs flows on the machine of its worker.")
                )
                made.append(name)
        for pool, queue in self._project.queues:
            try:
                self._client.read_work_queue_by_name(queue, work_pool_name=pool)
            except ObjectNotFound:
                self._client.create_work_queue(
                    queue,
                    description="Runs that measure: one at a time.",
                    concurrency_limit=_RUNS_OF_A_QUEUE,
                    work_pool_name=pool,
                )
                made.append(f"{pool}/{queue}")
        return made

    def deploy(self, environment: Mapping[str, str]) -> bool:
        """Deploy prefect.yaml if the project changed or a deployment is missing; whether it was done.

        Raises IncompleteError with the output of `prefect deploy`, where it fails.
        """
        waiting = hashlib.sha256(repr(sorted(self._waiting)).encode()).hexdigest()[:8]
        fingerprint = f"{self._project.fingerprint()}-{waiting}"
        names = {str(entry["name"]) for entry in self._project.deployments}
        there = {entry.name: {one.slug for one in entry.schedules} for entry in self._client.read_deployments()}
        if self._variable(_DEPLOYED_VARIABLE) == fingerprint and names <= set(there):
            return False
        document, switched_on = self._with_schedules(there)
        with tempfile.TemporaryDirectory(prefix="pullbench-") as temporary:
            file = Path(temporary) / "prefect.yaml"
            file.write_text(yaml.safe_dump(document), encoding="utf-8")
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
        self._set_variable(_SWITCHED_ON_VARIABLE, ",".join(sorted(switched_on)))
        self._set_variable(_DEPLOYED_VARIABLE, fingerprint)
        return True

    def _with_schedules(self, there: Mapping[str, set[str | None]]) -> tuple[dict[str, Any], set[str]]:
        """prefect.yaml with the switches of its schedules, and all schedules that have ever been switched on."""
        switched_on = set(filter(None, (self._variable(_SWITCHED_ON_VARIABLE) or "").split(",")))
        document = self._project.to_deploy()
        entries = [{**entry} for entry in document["deployments"]]
        for entry in (entry for entry in entries if entry.get("schedules")):
            schedules = [dict(schedule) for schedule in entry["schedules"]]
            for schedule in (schedule for schedule in schedules if schedule.get("active") is False):
                key = f"{entry['name']}/{schedule.get('slug')}"
                if str(entry["name"]) not in self._waiting and key not in switched_on:
                    schedule["active"] = True
                    switched_on.add(key)
                elif schedule.get("slug") in there.get(str(entry["name"]), set()):
                    del schedule["active"]  # the switch on the server stays as it is
            entry["schedules"] = schedules
        return {**document, "deployments": entries}, switched_on

    def schedules(self) -> list[str]:
        """Every active schedule, such as `stress-test: 0 3 1 1,4,7,10 * Etc/UTC`; then those that wait for a spec, and why."""
        active, paused = list[str](), dict[str, list[str]]()
        for deployment in sorted(self._client.read_deployments(), key=lambda entry: entry.name):
            for entry in deployment.schedules:
                if entry.active and not deployment.paused:
                    active.append(f"{deployment.name}: {_when(entry.schedule)}")
                elif deployment.name in self._waiting:
                    paused.setdefault(self._waiting[deployment.name], []).append(deployment.name)
        return active + [f"{', '.join(names)}: paused, because {why}" for why, names in paused.items()]

    def _variable(self, name: str) -> str | None:
        found = self._client.read_variable_by_name(name)
        return None if found is None else str(found.value)

    def _set_variable(self, name: str, value: str) -> None:
        if self._client.read_variable_by_name(name) is None:
            self._client.create_variable(VariableCreate(name=name, value=value, tags=["pullbench"]))
        else:
            self._client.update_variable(VariableUpdate(name=name, value=value, tags=["pullbench"]))


def _why_it_waits(entry: Mapping[str, Any], working_folder: Path) -> str | None:
    spec = (entry.get("parameters") or {}).get("spec")
    return None if spec is None else why_it_waits(str(spec), working_folder)


def _when(schedule: SCHEDULE_TYPES) -> str:
    match schedule:
        case CronSchedule():
            return f"{schedule.cron} {schedule.timezone or 'UTC'}"
        case IntervalSchedule():
            return f"every {schedule.interval}"
        case RRuleSchedule():
            return f"{schedule.rrule} {schedule.timezone or 'UTC'}"
    return "never"
