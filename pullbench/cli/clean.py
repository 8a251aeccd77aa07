"""`clean`: removes what interrupted runs left in directories, registries and a Docker daemon."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pullbench.cli.options import Results
from pullbench.cli.terminal.safe_text import print_line, print_lines
from pullbench.errors import IncompleteError, PullbenchError, RegistryError
from pullbench.model.text import count, format_bytes
from pullbench.registry.keychain import Keychain
from pullbench.serving.secrets import read_block

if TYPE_CHECKING:
    from pullbench.store.ledger import Ledger, PushedImages

_APPLY = "pullbench clean --apply"

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def clean(
    results: Results = "results",
    host: Annotated[
        str | None,
        typer.Option(
            metavar="SOCKET",
            help="The Docker daemon, such as unix:///run/docker-2.sock. Default: DOCKER_HOST, else the Docker context.",
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Remove. Without it, only list.")] = False,
) -> int:
    """Remove what interrupted runs left behind.

    These are images that runs pulled into a Docker daemon or pushed to registries, and the directories of engines. Do not
    use it during a run: it would remove the images of that run too.
    """
    from pullbench.store.dataset import ResultStore
    from pullbench.store.ledger import Ledger, PushedImages

    kept, store = _folders(apply=apply), ResultStore(results)
    _upstream(PushedImages(store), apply=apply)
    _images(Ledger(store), results, host, apply=apply)
    if kept:
        names = ", ".join(str(path) for path in kept)
        raise IncompleteError(f"not removed: {names}: something is mounted there or in use; see `findmnt` and `lsof`")
    return 0


def _folders(*, apply: bool) -> list[Path]:
    """What interrupted runs of wire, podman, skopeo and containerd left; returns what cannot be removed."""
    from pullbench.bench.cleaning import clean_folders, left_folders

    found = left_folders()
    if not apply:
        for path in found:
            print_line(path)
        if found:
            print_line(f"{count(len(found), 'directory', 'directories')} of interrupted runs; remove: {_APPLY}")
        return []
    removed = clean_folders()
    for path in removed:
        print_line(f"removed {path}, left by an interrupted run")
    return [path for path in found if path not in removed]


def _upstream(pushed: "PushedImages", *, apply: bool) -> None:
    """Synthetic images that runs pushed to registries, to make mirrors cold."""
    from pullbench.bench.cold_push import left_lines, take_left

    entries = pushed.entries()
    if apply and entries:
        keychain = Keychain(environ=os.environ, block=read_block)
        for name, entry in list(entries.items()):
            try:
                take_left(entry, keychain)
            except PullbenchError as error:
                reason = error.detail if isinstance(error, RegistryError) else str(error)
                entries[name] = replace(entry, reason=reason)
            else:
                pushed.strike(name)
                del entries[name]
                print_line(f"removed {count(len(entry.images), 'synthetic image')} from {entry.registry}")
    for line in left_lines(entries.values()):
        print_line(line)
    if entries and not apply:
        print_line(f"delete them, if the registry allows it: {_APPLY}")


def _images(ledger: "Ledger", results: str, host: str | None, *, apply: bool) -> None:
    from pullbench.bench.cleaning import clean as remove_images
    from pullbench.bench.cleaning import left_behind
    from pullbench.daemon.docker import DockerDaemon

    if not ledger.entries():
        print_line(f"{results}: no run left an image in a Docker daemon")
        return
    daemon = DockerDaemon(host)
    try:
        found = left_behind(ledger, daemon)
        names = {name for entry in found.here for name in entry.references}
        for other in found.elsewhere:
            print_line(f"another daemon ({other}) may have images of runs too: give it with --host")
        if not names:
            print_line(f"{results}: no run left an image in this daemon")
        elif not apply:
            print_lines("\n".join(sorted(names)))
            print_line(f"{count(len(names), 'image')} may be left by runs; remove: {_APPLY}")
        else:
            cleaned = remove_images(ledger, daemon)
            print_line(f"removed {count(len(cleaned.removed), 'image')}, {format_bytes(cleaned.bytes)}")
            for image_id, reason in cleaned.kept.items():
                print_line(f"kept {image_id}: {reason}")
    except RegistryError as error:
        raise IncompleteError(f"no image was removed: {error}") from error
    finally:
        daemon.close()
