"""`clean`: what killed runs left behind, in folders of their own and in a Docker daemon."""

from pathlib import Path

from flows.console import count
from pullbench.bench.cleaning import clean, clean_folders, left_behind, left_folders
from pullbench.daemon.docker import DockerDaemon
from pullbench.errors import IncompleteError, RegistryError
from pullbench.model.sizes import format_bytes
from pullbench.store.dataset import ResultStore
from pullbench.store.ledger import Ledger

_APPLY = "pullbench clean --apply"


def clean_up(*, results: str, host: str | None, apply: bool) -> int:
    """Tell, or with `apply` remove, what runs left: folders first, for they take no daemon.

    Raises IncompleteError where a daemon that may hold images of runs does not answer, or a folder cannot be removed.
    """
    kept = _folders(apply=apply)
    _images(Ledger(ResultStore(results)), results, host, apply=apply)
    if kept:
        names = ", ".join(str(path) for path in kept)
        raise IncompleteError(
            f"not removed: {names}: something is still mounted there or in use; see `findmnt` and `lsof`"
        )
    return 0


def _folders(*, apply: bool) -> list[Path]:
    """What killed runs of podman, skopeo and containerd left; gives what cannot be removed."""
    found = left_folders()
    if not apply:
        for path in found:
            print(path)
        if found:
            print(f"{count(len(found), 'folder')} of killed runs; remove with: {_APPLY}")
        return []
    removed = clean_folders()
    for path in removed:
        print(f"removed {path}, left by a killed run")
    return [path for path in found if path not in removed]


def _images(ledger: Ledger, results: str, host: str | None, *, apply: bool) -> None:
    if not ledger.entries():
        print(f"{results}: nothing is recorded there that runs left in a Docker daemon")
        return
    daemon = DockerDaemon(host)
    try:
        found = left_behind(ledger, daemon)
        names = {name for entry in found.here for name in entry.references}
        for other in found.elsewhere:
            print(f"another daemon ({other}) may hold images of runs too: name it with --host")
        if not names:
            print(f"{results}: nothing is recorded there that runs left in this daemon")
        elif not apply:
            print("\n".join(sorted(names)))
            print(f"{count(len(names), 'image')} may be left by runs; remove them with: {_APPLY}")
        else:
            cleaned = clean(ledger, daemon)
            print(f"removed {count(len(cleaned.removed), 'image')}, {format_bytes(cleaned.bytes)}")
            for image_id, reason in cleaned.kept.items():
                print(f"kept {image_id}: {reason}")
    except RegistryError as error:
        raise IncompleteError(f"no image was removed: {error}") from error
    finally:
        daemon.close()
