"""Automations as files in Prefect's own form, installed on a server by name so that none is there twice.

`{{ notify }}` in a file is the notification block that sends the message. Without one the automation has no action, and it is
installed switched off. Everything else in braces is Prefect's own, filled in when it fires.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from pullbench.errors import UsageError
from pullbench.serving.flow import check_answers, quiet_prefect, reach_without_proxy, server_address
from pullbench.store.shipped import shipped

_NOTIFY = "{{ notify }}"
_DO_NOTHING: Mapping[str, Any] = {"type": "do-nothing"}


@dataclass(slots=True, kw_only=True)
class Installed:
    """What was done with the automations of a directory, by name."""

    made: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    """On the server, not as their files say, and left as they are."""
    idle: list[str] = field(default_factory=list)
    """On the server without an action."""


def read_automations(folder: Path, notify: str | None = None) -> list[AutomationCore]:
    """The automations of a directory's YAML files; `notify` is the ID of a notification block.

    Raises UsageError that names the file where one cannot be read, and where two have the same name.
    """
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise UsageError(f"{folder}: no automation (*.yaml) is there")
    found: list[AutomationCore] = []
    for path in files:
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
            entries = data if isinstance(data, list) else [data]
            found += [AutomationCore.model_validate(_addressed(entry, notify)) for entry in entries]
        except (OSError, yaml.YAMLError, ValidationError, KeyError, TypeError) as error:
            said = " ".join(str(error).split())
            raise UsageError(f"{path}: not an automation that Prefect accepts: {said}") from error
    names = [entry.name for entry in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"{folder}: two automations are called '{sorted(twice)[0]}'")
    return found


def install(
    client: SyncPrefectClient, wanted: Sequence[AutomationCore], *, replace: bool, keep_actions: bool
) -> Installed:
    """Create what is missing; with `replace` change what is there to what its file says. Automations are found by name.

    One without an action is created switched off, and switched on with its first action. Otherwise the switch stays as it is
    on the server. With `keep_actions` the actions there stay too: they are for people to choose.
    """
    done = Installed()
    for automation in wanted:
        there = client.read_automations_by_name(automation.name)
        aims = [_aim(automation, entry, keep_actions) for entry in there]
        if not _acts(aims[0] if aims else automation):
            done.idle.append(automation.name)
        if not there:
            client.create_automation(automation.model_copy(update={"enabled": _acts(automation)}))
            done.made.append(automation.name)
        elif all(_essence(entry) == _essence(aim) for entry, aim in zip(there, aims, strict=True)):
            done.unchanged.append(automation.name)
        elif replace:
            for entry, aim in zip(there, aims, strict=True):
                client.update_automation(entry.id, aim)
            done.changed.append(automation.name)
        else:
            done.differing.append(automation.name)
    return done


def notification_block(client: SyncPrefectClient, text: str) -> str:
    """The ID of a block given as TYPE/NAME, such as slack-webhook/on-call; UsageError if there is no such block."""
    kind, slash, name = text.partition("/")
    if not (kind and slash and name):
        raise UsageError(f"--notify: '{text}' is not TYPE/NAME, such as slack-webhook/on-call")
    try:
        return str(client.read_block_document_by_name(name, kind, include_secrets=False).id)
    except ObjectNotFound as error:
        raise UsageError(
            f"--notify: there is no block {text}; create it in the UI under Blocks (types: slack-webhook, "
            "ms-teams-webhook, pager-duty-webhook, custom-webhook …)"
        ) from error


def _addressed(entry: Mapping[str, Any], notify: str | None) -> dict[str, Any]:
    """An automation's mapping with the block in place of `{{ notify }}`, or without the actions that need one."""
    actions: list[Mapping[str, Any]] = []
    for action in entry["actions"]:
        if action.get("block_document_id") != _NOTIFY:
            actions.append(action)
        elif notify is not None:
            actions.append({**action, "block_document_id": notify})
    return {**entry, "actions": actions or [_DO_NOTHING]}


def _aim(automation: AutomationCore, there: Automation, keep_actions: bool) -> AutomationCore:
    """What an automation on the server is changed to."""
    aim = automation.model_copy(update={"actions": there.actions} if keep_actions else {})
    first_action = _acts(aim) and not _acts(there)
    return aim.model_copy(update={"enabled": there.enabled or first_action})


def _acts(automation: AutomationCore) -> bool:
    return any(action.type != _DO_NOTHING["type"] for action in automation.actions)


def _essence(automation: AutomationCore) -> dict[str, Any]:
    """What a file can say, in a form that can be compared: sets stay sets."""
    document = automation.model_dump(include={"name", "description", "tags", "trigger", "actions"})
    document["trigger"].pop("id", None)
    return document


def install_on_server(*, folder: Path | None, notify: str | None) -> Installed:
    """Install a directory's automations, by default the project's, on the server that the environment or the profile names.

    Raises UsageError for a wrong file and if no server is named, ServerGoneError if it does not answer.
    """
    quiet_prefect()
    folder = folder or shipped("monitoring/prefect")
    read_automations(folder)  # a wrong file is reported before anything is contacted
    address = server_address()
    if address is None:
        raise UsageError(
            "no Prefect server is named: export PREFECT_API_URL=http://127.0.0.1:4200/api, as `pullbench serve` prints it"
        )
    reach_without_proxy(address)
    check_answers(address)
    with get_client(sync_client=True) as client:
        block = None if notify is None else notification_block(client, notify)
        return install(client, read_automations(folder, block), replace=True, keep_actions=block is None)
