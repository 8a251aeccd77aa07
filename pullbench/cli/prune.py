"""`prune`: removes images that no container uses from a Docker daemon; without --apply, it only lists them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pullbench.cli.options import Json, read_age
from pullbench.cli.terminal.console import stdout_console
from pullbench.cli.terminal.safe_text import literal
from pullbench.errors import IncompleteError, RegistryError
from pullbench.model.text import count, format_bytes

if TYPE_CHECKING:
    from pullbench.daemon.docker import DockerDaemon
    from pullbench.daemon.usage import Pruned, PruneDecision, Usage

_SHOWN_NAMES = 3

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def prune(
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Keep images of these names, such as 'nginx:*'; repeatable."),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="Only images older than this: 24h, 7d, 2w.")
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="SOCKET",
            help="The Docker daemon, such as unix:///run/docker-2.sock. Default: DOCKER_HOST, else the Docker context.",
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Remove. Without it, only list.")] = False,
    as_json: Json = False,
) -> int:
    """Remove unused images from a Docker daemon.

    Images that a container uses always stay. Without --apply, it lists what it would remove.
    """
    return prune_images(
        keep=keep or [], older_than=older_than, host=host, apply=apply, as_json=as_json, now=datetime.now(UTC)
    )


def prune_images(
    *,
    keep: Sequence[str],
    older_than: str | None,
    host: str | None,
    apply: bool,
    as_json: bool,
    now: datetime,
) -> int:
    """List, or with `apply` remove, the unused images that no pattern keeps. 0 done, 3 where one could not be removed."""
    from pullbench.daemon.docker import DockerDaemon
    from pullbench.daemon.usage import decide_pruning

    age = None if older_than is None else read_age(older_than)
    made_before = None if age is None else now - age
    daemon = DockerDaemon(host)
    try:
        before = _usage(daemon)
        chosen = decide_pruning(before, keep=keep, made_before=made_before)
        done = _removed(daemon, chosen, Console(stderr=True)) if apply else []
        freed = _freed(before, daemon, done) if apply else _would_free(before, chosen)
    finally:
        daemon.close()
    if as_json:
        print(json.dumps(_document(daemon.host, chosen, done, freed, applied=apply), indent=2))
    else:
        _show(chosen, done, freed, applied=apply)
    return IncompleteError.exit_code if any(one.refused is not None for one in done) else 0


def _usage(daemon: "DockerDaemon") -> "Usage":
    from pullbench.daemon.usage import usage

    try:
        return usage(daemon)
    except RegistryError as error:
        raise IncompleteError(f"nothing was removed: {error}") from error


def _removed(daemon: "DockerDaemon", chosen: "Sequence[PruneDecision]", stderr: Console) -> "list[Pruned]":
    """What was done is kept where the daemon stops answering half-way, and told as incomplete."""
    from pullbench.daemon.usage import prune as remove_images

    done: list[Pruned] = []
    going = [choice.image for choice in chosen if choice.kept is None]
    try:
        for one in remove_images(daemon, going):
            done.append(one)
            stderr.print(literal(f"{len(done)} of {len(going)}: {one.image.label} {one.refused or 'removed'}"))
    except RegistryError as error:
        removed = sum(one.refused is None for one in done)
        raise IncompleteError(f"{count(removed, 'image')} removed, and then {error}") from error
    return done


def _freed(before: "Usage", daemon: "DockerDaemon", done: "Sequence[Pruned]") -> int:
    """What the daemon has less on its disk; the images' own bytes where it does not say any more."""
    from pullbench.daemon.usage import usage

    try:
        return max(0, before.layers_bytes - usage(daemon).layers_bytes)
    except RegistryError:
        return sum(one.image.own_bytes for one in done if one.refused is None)


def _would_free(found: "Usage", chosen: "Sequence[PruneDecision]") -> int:
    """A layer that two of them share goes with the second, so all of them free more than each by itself."""
    going = [choice.image for choice in chosen if choice.kept is None]
    if len(going) == len(found.unused):
        return found.reclaimable_bytes
    return sum(image.own_bytes for image in going)


def _document(
    host: str, chosen: "Sequence[PruneDecision]", done: "Sequence[Pruned]", freed: int, *, applied: bool
) -> dict[str, Any]:
    refused = {one.image.image_id: one.refused for one in done}
    rows = []
    for choice in chosen:
        image, reason = choice.image, choice.kept
        action = "kept" if reason else "would remove"
        if applied and reason is None:
            reason = refused[image.image_id]
            action = "failed" if reason else "removed"
        rows.append(
            {
                "id": image.image_id,
                "names": list(image.names),
                "bytes": image.bytes,
                "own_bytes": image.own_bytes,
                "created_at": image.created_at.isoformat(),
                "action": action,
                "reason": reason,
            }
        )
    return {"host": host, "applied": applied, "freed_bytes": freed, "images": rows}


def _show(chosen: "Sequence[PruneDecision]", done: "Sequence[Pruned]", freed: int, *, applied: bool) -> None:
    stdout = stdout_console()
    kept = sum(choice.kept is not None for choice in chosen)
    if not chosen:
        stdout.print("nothing to remove: the daemon has no image")
        return
    if kept == len(chosen):
        verb = "is" if kept == 1 else "are"
        stdout.print(literal(f"nothing to remove: {count(kept, 'image')} {verb} kept, in use or too new"))
        return
    if not applied:
        stdout.print(_table(chosen))
        stdout.print()
        going = count(len(chosen) - kept, "image")
        stdout.print(literal(f"{going} would be removed, about {format_bytes(freed)}; {kept} would stay"))
        stdout.print(literal("remove them: the same command with --apply"))
        return
    failures = [one for one in done if one.refused is not None]
    removed = count(len(done) - len(failures), "image")
    stdout.print(literal(f"removed {removed}, {format_bytes(freed)} freed; {kept} kept"))
    for one in failures:
        stdout.print(literal(f"not removed: {one.image.label}: {one.refused}"))


def _table(chosen: "Sequence[PruneDecision]") -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("image", "created (UTC)", "size", "action"):
        table.add_column(column, justify="right" if column == "size" else "left")
    for choice in chosen:
        image = choice.image
        more = f" (and {len(image.names) - _SHOWN_NAMES} more names)" if len(image.names) > _SHOWN_NAMES else ""
        names = ", ".join(image.names[:_SHOWN_NAMES]) + more if image.names else image.label
        what = choice.kept or "would be removed"
        table.add_row(literal(names), f"{image.created_at:%Y-%m-%d}", format_bytes(image.bytes), literal(what))
    return table
