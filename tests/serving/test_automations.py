"""The automations of monitoring/prefect, and how they come to a server."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger

from pullbench.errors import UsageError
from pullbench.serving.automations import install, read_automations
from tasks import events as notify

FOLDER = Path(__file__).parents[2] / "monitoring" / "prefect"


class Server:
    """The part of Prefect's client that holds automations."""

    def __init__(self) -> None:
        self.held: dict[UUID, AutomationCore] = {}

    def read_automations_by_name(self, name: str) -> list[Automation]:
        return [Automation(id=key, **one.model_dump()) for key, one in self.held.items() if one.name == name]

    def create_automation(self, automation: AutomationCore) -> UUID:
        self.held[made := uuid4()] = automation.model_copy()
        return made

    def update_automation(self, automation_id: UUID, automation: AutomationCore) -> None:
        self.held[automation_id] = automation


def installed(server: Server, wanted: list[AutomationCore], *, replace: bool, keep_actions: bool = True) -> Any:
    return install(server, wanted, replace=replace, keep_actions=keep_actions)  # type: ignore[arg-type]


def test_every_event_of_ours_has_an_automation() -> None:
    triggers = [automation.trigger for automation in read_automations(FOLDER)]
    expected = {event for trigger in triggers if isinstance(trigger, EventTrigger) for event in trigger.expect}
    assert {notify.SLO_MISSED, notify.CONSECUTIVE_FAILURES, notify.REGRESSION} <= expected


def test_without_a_block_an_automation_does_nothing_and_with_one_it_tells() -> None:
    for quiet, loud in zip(read_automations(FOLDER), read_automations(FOLDER, str(uuid4())), strict=True):
        assert [action.type for action in quiet.actions] == ["do-nothing"]
        assert [action.type for action in loud.actions] == ["send-notification"]


def test_one_without_an_action_is_switched_off_until_it_gets_one() -> None:
    server = Server()
    done = installed(server, read_automations(FOLDER), replace=False)
    assert done.idle == done.made and not any(one.enabled for one in server.held.values())
    done = installed(server, read_automations(FOLDER, str(uuid4())), replace=True, keep_actions=False)
    assert not done.idle and all(one.enabled for one in server.held.values())


def test_one_with_an_action_that_was_switched_off_stays_off() -> None:
    server = Server()
    installed(server, read_automations(FOLDER, str(uuid4())), replace=True, keep_actions=False)
    for one in server.held.values():
        one.enabled = False
    installed(server, read_automations(FOLDER, str(uuid4())), replace=True, keep_actions=False)
    assert not any(one.enabled for one in server.held.values())


def test_a_second_time_nothing_is_made_or_changed() -> None:
    server, wanted = Server(), read_automations(FOLDER)
    assert installed(server, wanted, replace=True).made == [one.name for one in wanted]
    held = dict(server.held)
    for replace in (True, False):
        done = installed(server, wanted, replace=replace)
        assert done.unchanged == [one.name for one in wanted]
    assert server.held == held


def test_whom_it_tells_stays_unless_a_block_is_named() -> None:
    server, block = Server(), str(uuid4())
    installed(server, read_automations(FOLDER, block), replace=True, keep_actions=False)
    for replace in (True, False):
        assert not installed(server, read_automations(FOLDER), replace=replace).changed
    assert {action.type for one in server.held.values() for action in one.actions} == {"send-notification"}
    again = read_automations(FOLDER, str(uuid4()))
    assert installed(server, again, replace=True, keep_actions=False).changed == [one.name for one in again]


def test_what_somebody_changed_stays_until_it_is_asked_for_and_what_was_switched_off_stays_off() -> None:
    server, wanted = Server(), read_automations(FOLDER)[:1]
    installed(server, wanted, replace=False)
    (key,) = server.held
    theirs = wanted[0].model_copy(update={"description": "mine", "enabled": False})
    server.held[key] = theirs
    assert installed(server, wanted, replace=False).differing == [wanted[0].name]
    assert server.held[key] == theirs
    assert installed(server, wanted, replace=True).changed == [wanted[0].name]
    assert server.held[key].description == wanted[0].description
    assert not server.held[key].enabled


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "{folder}: "),
        ({"a.yaml": "name: x"}, r"{folder}/a\.yaml: "),
        ({"a.yaml": "- 3"}, r"{folder}/a\.yaml: "),
        ({"a.yaml": "same", "b.yaml": "same"}, "'pullbench: regression'"),
    ],
)
def test_files_that_are_no_automations_are_usage_errors(files: dict[str, str], said: str, tmp_path: Path) -> None:
    document = yaml.safe_load((FOLDER / "regression.yaml").read_text())
    for name, text in files.items():
        (tmp_path / name).write_text(yaml.safe_dump(document) if text == "same" else text)
    with pytest.raises(UsageError, match=said.replace("{folder}", str(tmp_path))):
        read_automations(tmp_path)
