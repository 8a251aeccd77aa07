"""The order in which help lists the commands: as a newcomer meets them, and as README.md tells of them."""

from typing import Any

from typer.core import TyperGroup

ORDER = (
    *("demo", "init", "preflight", "plan", "run", "stress"),
    *("runs", "show", "report", "compare", "baseline", "trend", "publish"),
    *("regional", "fleet", "lab", "calibrate", "images"),
    *("serve", "automations", "clean", "prune", "metrics"),
)


class CommandsInOrder(TyperGroup):
    """Lists commands as ORDER has them, not as modules happened to be imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=ORDER.index)
