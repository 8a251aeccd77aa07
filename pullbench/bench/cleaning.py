"""Takes away what runs left: images in a daemon, by the ledger that they kept, and folders of killed ones."""

import contextlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pullbench.daemon.docker import Cleaned, DockerDaemon, remove_brought
from pullbench.engines.command.folder import remove_stale_folders, stale_folders
from pullbench.errors import PullbenchError
from pullbench.model.reference import is_digest
from pullbench.store.ledger import BroughtRecord, Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """What the ledger says of one daemon, and what it says of others that were not asked."""

    here: tuple[BroughtRecord, ...]
    elsewhere: tuple[str, ...]
    """IDs of other daemons."""


def drop(host: str | None, names: Iterable[str]) -> None:
    """Take what one trial brought into a daemon out of it again; what cannot be removed now is left to `clean`."""
    daemon, said = DockerDaemon(host), list(names)
    with contextlib.suppress(PullbenchError):
        remove_brought(
            daemon, [name for name in said if is_digest(name)], [name for name in said if not is_digest(name)]
        )
    daemon.close()


def left_behind(ledger: Ledger, daemon: DockerDaemon) -> LeftBehind:
    """What runs may have left in a daemon; raises RegistryError where it does not answer."""
    identity, entries = daemon.identity, ledger.entries()
    return LeftBehind(
        here=tuple(entry for entry in entries if entry.daemon == identity),
        elsewhere=tuple(sorted({entry.daemon for entry in entries} - {identity})),
    )


def clean(ledger: Ledger, daemon: DockerDaemon, run_id: str | None = None) -> Cleaned:
    """Remove what one run (or every run) brought into a daemon; what is gone is forgotten, what was kept is not.

    Raises RegistryError where the daemon does not answer.
    """
    here = [entry for entry in left_behind(ledger, daemon).here if run_id in (None, entry.run_id)]
    image_ids = dict.fromkeys(image_id for entry in here for image_id in entry.image_ids)
    references = dict.fromkeys(reference for entry in here for reference in entry.references)
    cleaned = remove_brought(daemon, image_ids, references)
    for entry in here:
        if not cleaned.kept.keys() & set(entry.image_ids):
            ledger.forget(entry.run_id, entry.daemon)
    return cleaned


def left_folders() -> list[Path]:
    """Folders of engines that killed runs of this user left under the folder for temporary files (TMPDIR)."""
    return stale_folders(Path(tempfile.gettempdir()))


def clean_folders() -> list[Path]:
    """Remove them, with the processes that still work for them and what is mounted there; gives those that are gone."""
    return remove_stale_folders(Path(tempfile.gettempdir()))
