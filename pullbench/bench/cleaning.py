"""Removes what runs left: images in a daemon, by the runs' ledger, and directories of killed runs."""

import contextlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pullbench.daemon.docker import DockerDaemon
from pullbench.daemon.image_store import Cleaned, image_store
from pullbench.engines.command.folder import remove_stale_folders, stale_folders
from pullbench.errors import PullbenchError
from pullbench.model.reference import is_digest
from pullbench.store.ledger import BroughtRecord, Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """The recorded images in one daemon, and the other daemons with records."""

    here: tuple[BroughtRecord, ...]
    elsewhere: tuple[str, ...]
    """IDs of other daemons, and of this daemon's other image store."""


def drop(host: str | None, names: Iterable[str]) -> None:
    """Remove a trial's images from a daemon; images that cannot be removed now are left to `clean`."""
    daemon, known = DockerDaemon(host), list(names)
    with contextlib.suppress(PullbenchError):
        image_store(daemon).remove_brought(
            [name for name in known if is_digest(name)], [name for name in known if not is_digest(name)]
        )
    daemon.close()


def left_behind(ledger: Ledger, daemon: DockerDaemon) -> LeftBehind:
    """The images that runs may have left in a daemon; raises RegistryError if it does not answer."""
    identity, entries = image_store(daemon).identity, ledger.entries()
    return LeftBehind(
        here=tuple(entry for entry in entries if entry.daemon == identity),
        elsewhere=tuple(sorted({entry.daemon for entry in entries} - {identity})),
    )


def clean(ledger: Ledger, daemon: DockerDaemon, run_id: str | None = None) -> Cleaned:
    """Remove the images that one run (or all runs) pulled into a daemon; records of removed images are deleted.

    Raises RegistryError if the daemon does not answer.
    """
    here = [entry for entry in left_behind(ledger, daemon).here if run_id in (None, entry.run_id)]
    image_ids = dict.fromkeys(image_id for entry in here for image_id in entry.image_ids)
    references = dict.fromkeys(reference for entry in here for reference in entry.references)
    cleaned = image_store(daemon).remove_brought(image_ids, references)
    for entry in here:
        if not cleaned.kept.keys() & set(entry.image_ids):
            ledger.forget(entry.run_id, entry.daemon)
    return cleaned


def left_folders() -> list[Path]:
    """Directories that this user's killed runs left in the directory for temporary files (TMPDIR)."""
    return stale_folders(Path(tempfile.gettempdir()))


def clean_folders() -> list[Path]:
    """Remove these directories with their processes and mounts; returns the removed ones."""
    return remove_stale_folders(Path(tempfile.gettempdir()))
