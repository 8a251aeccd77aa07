"""Makes a mirror cold for a trial with new images: pushed to the upstream before it, deleted after it."""

import contextlib
import dataclasses
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from urllib.parse import quote

from pullbench.engines.base import PullRequest
from pullbench.errors import ErrorCode, PullbenchError, RegistryError, UsageError
from pullbench.lab.images import images_at
from pullbench.model.facts import Facts, PlatformImage
from pullbench.model.manifest import Index, Manifest, parse_manifest
from pullbench.model.plan import Trial, source_images
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.model.upload import BuiltImage
from pullbench.model.workload import workload_like
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain
from pullbench.registry.patience import PATIENCE_S
from pullbench.registry.push import PushedImage, Unwatched, is_ours, push_workload
from pullbench.store.ledger import PushedImages, PushedRecord

_STILL_THERE = "the tag is still there after its DELETE"
_READ_TIMEOUT_S = 300.0  # a registry on an object store may move a blob for minutes before it answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One trial's images: the requests that pull them, and the manifests to delete."""

    requests: tuple[PullRequest, ...]
    route: Route
    digests: tuple[Reference, ...]
    """Indexes first, then their manifests."""
    pushed: PushedRecord
    sent_bytes: int


class ColdPush:
    """Pushes a trial's images and deletes them; `seed` returns a new random seed."""

    def __init__(
        self, keychain: Keychain, record: PushedImages, seed: Callable[[], int] = lambda: secrets.randbits(48)
    ) -> None:
        self._keychain = keychain
        self._record = record
        self._seed = seed

    def push(
        self, run_id: str, trial: Trial, requests: tuple[PullRequest, ...], facts: Facts, route: Route, repository: str
    ) -> Batch:
        """Push one image per pull to `repository` on `route`, which leads to the mirror's upstream.

        Raises RegistryError if the registry refuses them, IncompleteError if they cannot be recorded first.
        """
        seed = self._seed()
        workload = workload_like(source_images(trial, facts), platform=trial.cell.platform, seed=seed)
        tags = [f"{run_id}-{trial.number:05d}-{seed:x}-{number}" for number in range(len(requests))]
        images = images_at(workload, [Reference(repository=repository, tag=tag) for tag in tags])
        pushed = PushedRecord(
            registry=route.url,
            images=tuple(str(image.reference) for image in images),
            credentials=route.credentials,
            ca_file=route.ca_file,
            sends_in_clear=route.sends_in_clear,
        )
        self._record.record(run_id, trial.number, pushed)
        settled = _Settled()
        try:
            with RegistryClient(
                route, self._keychain, actions="pull,push", read_timeout_s=_READ_TIMEOUT_S, patience_s=PATIENCE_S
            ) as client:
                report = push_workload(client, images, watch=settled)
        except BaseException as error:
            left = dataclasses.replace(pushed, images=tuple(name for name in pushed.images if name in settled.names))
            if isinstance(error, PullbenchError):  # an interruption must not wait for a registry
                left = _take_back_part(pushed, settled.names, self._keychain)
            self._keep_record(run_id, trial, pushed, left)
            raise
        built = [image.build() for image in images]
        found = zip(requests, images, built, strict=True)
        return Batch(
            requests=tuple(_pulls(request, image.reference, made) for request, image, made in found),
            route=route,
            digests=tuple(
                Reference(repository=repository, digest=document.descriptor.digest)
                for made in built
                for document in (made.tagged, *made.manifests)
            ),
            pushed=pushed,
            sent_bytes=report.bytes_sent,
        )

    def _keep_record(self, run_id: str, trial: Trial, pushed: PushedRecord, left: PushedRecord) -> None:
        """Correct the record of a push that failed: only what the registry has is left there."""
        if left.images:
            self._record.record(run_id, trial.number, left)
        else:
            self._record.forget(run_id, trial.number, pushed)

    def take_back(self, run_id: str, trial: Trial, batch: Batch) -> None:
        """Delete the manifests and look again; what the registry keeps stays recorded, with the reason."""
        try:
            with RegistryClient(batch.route, self._keychain, actions="pull,delete", patience_s=PATIENCE_S) as client:
                for reference in batch.digests:
                    _delete(client, reference)
                kept = tuple(image for image in batch.pushed.images if not _is_gone(client, Reference.parse(image)))
        except PullbenchError as error:
            detail = error.detail if isinstance(error, RegistryError) else str(error)
            self._record.record(run_id, trial.number, dataclasses.replace(batch.pushed, reason=detail))
            return
        self._record.forget(run_id, trial.number, batch.pushed)
        if kept:
            left = dataclasses.replace(batch.pushed, images=kept, reason=_STILL_THERE)
            self._record.record(run_id, trial.number, left)


class _Settled(Unwatched):
    """The names of the images that a push has brought to the registry."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def settled(self, image: PushedImage) -> None:
        self.names.add(str(image.reference))


def _take_back_part(pushed: PushedRecord, settled: Collection[str], keychain: Keychain) -> PushedRecord:
    """Delete what a failed push has brought to the registry; the record of the images that are still there.

    A tag may be there without being settled: its answer was lost. The first registry error ends the search.
    """
    left = [name for name in pushed.images if name in settled]
    try:
        with _deleting_client(pushed, keychain) as client:
            for image in pushed.images:
                found = _digests_at(client, Reference.parse(image))
                left = [image, *(name for name in left if name != image)] if found else left
                _delete_image(client, Reference.parse(image), found)
                left = [name for name in left if name != image]
    except PullbenchError as error:
        detail = error.detail if isinstance(error, RegistryError) else str(error)
        return dataclasses.replace(pushed, images=tuple(left), reason=detail)
    return dataclasses.replace(pushed, images=())


def take_left(pushed: PushedRecord, keychain: Keychain) -> None:
    """Delete the images that a trial left under its tags; missing ones are skipped.

    Raises RegistryError if the registry does not delete, UsageError if a tag has a foreign image.
    """
    with _deleting_client(pushed, keychain) as client:
        for image in pushed.images:
            tag = Reference.parse(image)
            _delete_image(client, tag, _digests_at(client, tag))


def _deleting_client(pushed: PushedRecord, keychain: Keychain) -> RegistryClient:
    route = Route(
        registry="",
        url=pushed.registry,
        credentials=pushed.credentials,
        ca_file=pushed.ca_file,
        sends_in_clear=pushed.sends_in_clear,
    )
    return RegistryClient(route, keychain, actions="pull,delete", patience_s=PATIENCE_S)


def _digests_at(client: RegistryClient, tag: Reference) -> list[Reference]:
    """The index or manifest of a tag, then the manifests of the index."""
    try:
        found = client.manifest(tag)
    except RegistryError as error:
        if error.status == 404:
            return []
        raise
    if not is_ours(found):
        raise UsageError(f"{client.route.host}/{tag} is not an image of pullbench: it was not deleted")
    children = [entry.digest for entry in found.document.manifests] if isinstance(found.document, Index) else []
    return [tag.pinned(digest) for digest in (found.digest, *children)]


def left_lines(left: Iterable[PushedRecord]) -> list[str]:
    """The images that are still at registries, one sentence per repository."""
    groups: dict[tuple[str, str], list[PushedRecord]] = {}
    for entry in left:
        groups.setdefault((entry.registry, entry.images[0].rpartition(":")[0]), []).append(entry)
    lines = []
    for (registry, repository), entries in groups.items():
        number = sum(len(entry.images) for entry in entries)
        lines.append(
            f"left at {registry}: {number} synthetic {'image' if number == 1 else 'images'} in {repository} "
            f"({entries[-1].reason}); delete the repository there after all runs have ended"
        )
    return lines


def _delete_image(client: RegistryClient, tag: Reference, digests: Iterable[Reference]) -> None:
    """Delete an image's manifests and look again. Raises RegistryError if the registry refuses, or keeps the tag."""
    for reference in digests:
        _delete(client, reference)
    if not _is_gone(client, tag):
        raise RegistryError(ErrorCode.SERVER_ERROR, f"DELETE {client.route.url}/v2/{tag}", _STILL_THERE)


def _is_gone(client: RegistryClient, tag: Reference) -> bool:
    """Whether a tag is gone; one that outlived its manifest is deleted by its name (OCI distribution spec 1.1)."""
    if client.digest_at(tag) is None:
        return True
    with contextlib.suppress(RegistryError):
        _delete(client, tag)
    return client.digest_at(tag) is None


def _delete(client: RegistryClient, reference: Reference) -> None:
    """Delete a manifest or a tag. A 404 is no error: it may be gone, or the registry has no such request."""
    repository = client.route.repository(reference)
    path = f"/v2/{repository}/manifests/{quote(reference.locator, safe=':')}"
    try:
        client.ask("DELETE", path, repository=repository, limit_bytes=65536)
    except RegistryError as error:
        if error.status != 404:
            raise


def _pulls(request: PullRequest, reference: Reference, built: BuiltImage) -> PullRequest:
    """The request for the synthetic image, under the original image's name in the results."""
    own = built.manifests[0] if built.manifests else built.tagged
    manifest = parse_manifest(own.content)
    assert isinstance(manifest, Manifest)
    return dataclasses.replace(
        request,
        reference=reference.pinned(built.tagged.descriptor.digest),
        is_index=bool(built.manifests),
        expected=PlatformImage(digest=own.descriptor.digest, manifest=manifest),
    )
