"""`automations install`: the files of monitoring/prefect on a running server."""

import os
from pathlib import Path

from pullbench.cli.terminal.safe_text import tell
from pullbench.errors import IncompleteError, UsageError
from pullbench.serving.start import QUIET, check_answers, reach_without_proxy
from pullbench.store.shipped import shipped


def install_automations(*, folder: Path | None, notify: str | None) -> int:
    """Make the missing ones, bring the others to their files; tells each. IncompleteError where the server does not answer."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    from pullbench.serving.automations import install, notification_block, read_automations

    folder = folder or shipped("monitoring/prefect")
    read_automations(folder)  # a wrong file is told before anything is contacted
    address = get_current_settings().api.url
    if not address:
        raise UsageError(
            "no server is named: export PREFECT_API_URL=http://127.0.0.1:4200/api, as `pullbench serve` says"
        )
    reach_without_proxy(address)
    try:
        check_answers(address)
    except RuntimeError as error:
        raise IncompleteError(str(error)) from error
    with get_client(sync_client=True) as client:
        block = None if notify is None else notification_block(client, notify)
        done = install(client, read_automations(folder, block), replace=True, keep_actions=block is None)
    for word, names in (("made", done.made), ("changed", done.changed), ("as it was", done.unchanged)):
        for name in names:
            tell(f"{word:9}  {name}")
    if notify is None and done.made:
        tell("they show in the UI's event feed only; --notify TYPE/NAME sends them, such as slack-webhook/on-call")
    return 0
