"""`clean`: what killed runs left behind, in folders of their own, at registries and in a Docker daemon."""

import os
from dataclasses import replace
from pathlib import Path

from pullbench.bench.cleaning import clean, clean_folders, left_behind, left_folders
from pullbench.bench.cold_push import left_lines, take_left
from pullbench.cli.terminal.safe_text import tell, tell_document
from pullbench.daemon.docker import DockerDaemon
from pullbench.errors import IncompleteError, PullbenchError, RegistryError
from pullbench.model.text import count, format_bytes
from pullbench.registry.keychain import Keychain
from pullbench.serving.secrets import prefect_secret
from pullbench.store.dataset import ResultStore
from pullbench.store.ledger import Ledger, PushedImages

_APPLY = "pullbench clean --apply"


def clean_up(*, results: str, host: str | None, apply: bool) -> int:
    """Tell, or with `apply` remove, what runs left: folders first, for they take no daemon.

    Raises IncompleteError where a daemon that may hold images of runs does not answer, or a folder cannot be removed.
    """
    kept, store = _folders(apply=apply), ResultStore(results)
    _upstream(PushedImages(store), apply=apply)
    _images(Ledger(store), results, host, apply=apply)
    if kept:
        names = ", ".join(str(path) for path in kept)
        raise IncompleteError(
            f"not removed: {names}: something is still mounted there or in use; see `findmnt` and `lsof`"
        )
    return 0


def _folders(*, apply: bool) -> list[Path]:
    """What killed runs of wire, podman, skopeo and containerd left; gives what cannot be removed."""
    found = left_folders()
    if not apply:
        for path in found:
            tell(path)
        if found:
            tell(f"{count(len(found), 'folder')} of killed runs; remove with: {_APPLY}")
        return []
    removed = clean_folders()
    for path in removed:
        tell(f"removed {path}, left by a killed run")
    return [path for path in found if path not in removed]


def _upstream(pushed: PushedImages, *, apply: bool) -> None:
    """Synthetic images that runs pushed to registries, to make mirrors cold."""
    entries = pushed.entries()
    if apply and entries:
        keychain = Keychain(environ=os.environ, block=prefect_secret)
        for name, entry in list(entries.items()):
            try:
                take_left(entry, keychain)
            except PullbenchError as error:
                reason = error.detail if isinstance(error, RegistryError) else str(error)
                entries[name] = replace(entry, reason=reason)
            else:
                pushed.strike(name)
                del entries[name]
                tell(f"removed {count(len(entry.images), 'synthetic image')} from {entry.registry}")
    for line in left_lines(entries.values()):
        tell(line)
    if entries and not apply:
        tell(f"have them deleted where the registry does that with: {_APPLY}")


def _images(ledger: Ledger, results: str, host: str | None, *, apply: bool) -> None:
    if not ledger.entries():
        tell(f"{results}: nothing is recorded there that runs left in a Docker daemon")
        return
    daemon = DockerDaemon(host)
    try:
        found = left_behind(ledger, daemon)
        names = {name for entry in found.here for name in entry.references}
        for other in found.elsewhere:
            tell(f"another daemon ({other}) may hold images of runs too: name it with --host")
        if not names:
            tell(f"{results}: nothing is recorded there that runs left in this daemon")
        elif not apply:
            tell_document("\n".join(sorted(names)))
            tell(f"{count(len(names), 'image')} may be left by runs; remove them with: {_APPLY}")
        else:
            cleaned = clean(ledger, daemon)
            tell(f"removed {count(len(cleaned.removed), 'image')}, {format_bytes(cleaned.bytes)}")
            for image_id, reason in cleaned.kept.items():
                tell(f"kept {image_id}: {reason}")
    except RegistryError as error:
        raise IncompleteError(f"no image was removed: {error}") from error
    finally:
        daemon.close()
