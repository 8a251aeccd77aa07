"""Sets a running Prefect server up as a project says, and reports each step."""

from collections.abc import Iterator, Mapping, Sequence

from prefect.client.orchestration import SyncPrefectClient

from pullbench.model.text import count
from pullbench.serving.automations import install, read_automations
from pullbench.serving.flow_runs import MISSED_AFTER, close_lost, skip_missed
from pullbench.serving.project import Project
from pullbench.serving.provision import Provision


def set_up(
    client: SyncPrefectClient, project: Project, pools: Sequence[str], environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Set it up; yields a label and a sentence for each step."""
    provision = Provision(client, project, pools)
    former = provision.place()
    yield "project", str(project.folder)
    yield "runs work in", str(project.working_folder) + (f" (before: {former})" if former else "")
    made = provision.pools()
    yield "work pools", f"created {', '.join(made)}" if made else "unchanged"
    deployed = provision.deploy(environment)
    names = ", ".join(str(entry["name"]) for entry in project.deployments)
    yield "deployments", f"{names}: {'deployed' if deployed else 'unchanged'}"
    for schedule in provision.schedules():
        yield "schedule", schedule
    done = install(client, read_automations(project.automations), replace=False, keep_actions=True)
    if done.made:
        yield "automations", f"created {', '.join(done.made)}"
    if done.differing:
        said = f"{', '.join(done.differing)}: not as in {project.automations}, and left as they are"
        yield "automations", f"{said}. `pullbench automations install` resets them"
    if not (done.made or done.differing):
        yield "automations", "unchanged"
    if done.idle:
        how = "`pullbench automations install --notify TYPE/NAME` gives them one and switches them on"
        yield "automations", f"{count(len(done.idle), 'automation')} without an action, switched off. {how}"


def take_over(client: SyncPrefectClient, pools: Sequence[str], worker: str) -> Iterator[str]:
    """Settle the runs that a pool's former worker left behind or missed; yields a sentence for each kind."""
    for pool in pools:
        if lost := close_lost(client, pool, worker):
            yield f"pool {pool}: {count(lost, 'run')} without a process, marked as crashed"
        if missed := skip_missed(client, pool):
            minutes = MISSED_AFTER.total_seconds() / 60
            yield f"pool {pool}: {count(missed, 'scheduled run')} more than {minutes:.0f} minutes late, skipped"
