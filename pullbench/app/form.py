"""A run as a form asks for it: by a spec file, by a registry alone, or by a run to resume. Free of Prefect."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from pullbench.app.run import Prepared, RunRequest, preparing
from pullbench.bench.discover import read_image_at, serving_host
from pullbench.bench.specfile import LoadedSpec, spec_of
from pullbench.errors import UsageError
from pullbench.model.addresses import DOCKER_HUB_API
from pullbench.model.spec import Spec
from pullbench.store.dataset import ResultStore

_FORM = Path("the form")
_BUDGET = {"bytes": "50GB", "manifest_requests": 1000, "minutes": 30}
"""As in specs/first.yaml."""
_REDACTED = "(redacted)"


FormCredentials = Annotated[
    str,
    WithJsonSchema(
        {
            "anyOf": [
                {"title": "Known sources", "type": "string", "enum": ["docker", "anonymous"]},
                {"title": "Name of a Secret block", "type": "string"},
            ]
        }
    ),
]


class RegistryForm(BaseModel):
    """A registry and images to measure without a spec file. Fill it in, and the spec above is not used."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, title="Registry without a spec"
    )

    url: str = Field(default="", title="Registry URL")
    """Such as registry.example.com, or http:// and host for a registry without TLS. Empty: the spec is measured."""
    images: list[str] = Field(default=[], title="Images")
    """Repository and tag at this registry, such as library/nginx:1.27"""
    engines: list[Literal["wire", "docker", "podman", "skopeo", "containerd"]] = Field(
        default=["wire"], title="Engines"
    )
    """wire measures registry and network. docker, podman and containerd unpack too."""
    concurrency: list[Annotated[int, Field(ge=1, le=1024)]] = Field(default=[1, 2, 4], title="Concurrency")
    """Concurrent pulls, one configuration for each number"""
    credentials: FormCredentials = Field(default="docker", title="Credentials")
    """docker reads ~/.docker/config.json where the worker runs. A Secret block is made in the UI under Blocks."""
    name: str = Field(default="", title="Benchmark name")
    """Runs of one name are compared. Empty takes the host's name."""

    @property
    def is_filled(self) -> bool:
        """Whether it names anything to measure."""
        return bool(self.url.strip() or self.images)

    def spec_data(self) -> dict[str, Any]:
        """The spec of these values, as a mapping; raises UsageError that names the field."""
        if not self.url.strip():
            raise UsageError(
                "the form names images and no registry: fill in Registry URL, such as https://registry.example.com"
            )
        if not self.images:
            raise UsageError("the form names a registry and no image: add one to Images, such as library/nginx:1.27")
        url = _url(self.url.strip())
        host = urlsplit(url).netloc
        return {
            "name": self.name.strip() or _name_of(host),
            "registries": [{"name": "registry", "url": url, "credentials": _source(self.credentials.strip())}],
            "images": [_image(text.strip(), host, number) for number, text in enumerate(self.images)],
            "matrix": {"engines": list(self.engines), "concurrency": list(self.concurrency)},
            "budget": dict(_BUDGET),
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunForm:
    """What a person filled in. `request.spec` is the spec file that is measured where no registry and no run is named."""

    request: RunRequest
    registry: RegistryForm = dataclasses.field(default_factory=RegistryForm)
    is_deployed: bool = False
    """A deployment's form has a spec filled in already. A shell's command names one itself, so there it has to fit."""

    @contextlib.contextmanager
    def preparing(self, block: Callable[[str], str] | None) -> Iterator[Prepared]:
        """The run, prepared; raises UsageError in one line for what is filled in wrongly."""
        with preparing(self.resolved(), block=block) as prepared:
            yield prepared

    def resolved(self) -> RunRequest:
        """The request with its spec: that of the run to resume, else of the registry, else the file."""
        if self.is_deployed and self.request.resume not in (None, "latest"):
            return _of_stored_run(self.request)
        if not self.registry.is_filled:
            return self.request
        data = self.request.overrides.apply(self.registry.spec_data())
        return _with_spec(self.request, _loaded(data, self.request.sets))


def _of_stored_run(request: RunRequest) -> RunRequest:
    """The run's own spec, so that its run_id is all that a person has to know; the file where secrets are left out of it."""
    assert request.resume is not None
    run = ResultStore(request.results).run(request.resume)
    if _REDACTED in run.spec:
        return request
    stored = Spec.model_validate(json.loads(run.spec))
    loaded = _loaded(stored.model_dump(mode="json"), request.sets)
    if loaded.hash == stored.hash():  # a greater budget may be given; all else would be another run
        loaded = dataclasses.replace(loaded, hash=run.spec_hash)
    return dataclasses.replace(_with_spec(request, loaded), vantage=run.vantage)


def _with_spec(request: RunRequest, loaded: LoadedSpec) -> RunRequest:
    """A request of a spec that has its changes already."""
    plain = type(request.overrides)()
    return dataclasses.replace(request, spec=loaded, overrides=plain, sets=())


def _loaded(data: dict[str, Any], sets: Sequence[str]) -> LoadedSpec:
    values: dict[str, Any] = {}
    for assignment in sets:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"settings: '{assignment}' is not KEY=VALUE, such as budget.minutes=10")
        values[key.strip()] = yaml.safe_load(text)
    try:
        loaded = spec_of(data, values=values)
    except UsageError as error:
        raise UsageError(f"{_FORM}: {str(error).removeprefix('spec: ')}") from error
    return dataclasses.replace(loaded, source=_FORM)


def _url(text: str) -> str:
    """The URL with its scheme; Docker Hub by the host that serves its images."""
    if "://" not in text:
        text = f"https://{text}"
    parts = urlsplit(text)
    host = serving_host(parts.netloc)
    return text.rstrip("/") if host == parts.netloc else f"https://{host}"


def _image(text: str, host: str, number: int) -> str:
    """The reference without the registry's host, which `docker pull` has before it."""
    try:
        return str(read_image_at(host, text).reference)
    except ValueError as error:
        raise UsageError(f"{_FORM}: images[{number}]: {error}") from error


def _source(text: str) -> str:
    """Where a spec says that credentials are kept; a plain name is that of a Prefect Secret."""
    if text in ("", "docker", "anonymous") or text.partition(":")[0] in ("env", "block"):
        return text or "docker"
    return f"block:{text}"


def _name_of(host: str) -> str:
    """A benchmark's name, from its registry's host."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", host).strip("-.")[:63]
    return "docker-hub" if host == DOCKER_HUB_API else name or "registry"
