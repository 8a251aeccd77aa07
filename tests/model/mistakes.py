"""Mistakes that people make in a spec: the key path that the answer names, and whether an editor sees them too."""

from dataclasses import dataclass, field
from typing import Any

LEAST: dict[str, Any] = {
    "name": "a",
    "registries": [{"name": "eu", "url": "https://r.example.com"}],
    "images": ["app:1"],
}
MIRROR = {"name": "cache", "kind": "mirror", "url": "https://m.example.com", "upstream": "eu"}
FORWARD = {"name": "squid", "kind": "forward", "url": "http://squid:3128"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What is changed of a spec that is right."""

    path: str
    """The key path that the answer begins with."""
    changes: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    schema_sees_it: bool = True

    @property
    def spec(self) -> dict[str, Any]:
        return {key: value for key, value in {**LEAST, **self.changes}.items() if key not in self.without}


def _registry(**changes: Any) -> dict[str, Any]:
    return {"registries": [{"name": "eu", "url": "https://r.example.com", **changes}]}


def _engine(**options: Any) -> dict[str, Any]:
    return {"engines": [{"name": "mine", "kind": "wire", **options}]}


def _matrix(**factors: Any) -> dict[str, Any]:
    return {"matrix": factors}


MISTAKES: dict[str, Mistake] = {
    "no images": Mistake(path="images", without=("images",)),
    "an empty list": Mistake(path="images", changes={"images": []}),
    "a misspelt key": Mistake(path="repetition", changes={"repetition": 3}),
    "a misspelt key of the matrix": Mistake(path="matrix.cach", changes=_matrix(cach=["cold"])),
    "a key that nothing resembles": Mistake(path="zzz", changes={"zzz": 1}),
    "a key in the wrong place": Mistake(path="concurrency", changes={"concurrency": [1]}),
    "an engine's key in the wrong place": Mistake(path="http_version", changes={"http_version": "2"}),
    "a password in the spec": Mistake(path="registries[0].password", changes=_registry(password="hunter2")),
    "a URL without a scheme": Mistake(path="registries[0].url", changes=_registry(url="r.example.com")),
    "a URL of another scheme": Mistake(path="registries[0].url", changes=_registry(url="ftp://r.example.com")),
    "a URL with a path": Mistake(path="registries[0].url", changes=_registry(url="https://r.example.com/v2/")),
    "a URL with credentials": Mistake(path="registries[0].url", changes=_registry(url="https://me:hunter2@r.io")),
    "a port that cannot be": Mistake(
        path="registries[0].url", changes=_registry(url="https://r.io:70000"), schema_sees_it=False
    ),
    "a secret in place of its source": Mistake(
        path="registries[0].credentials", changes=_registry(credentials="me:hunter2")
    ),
    "a name with a space": Mistake(path="name", changes={"name": "a b"}),
    "an empty name": Mistake(path="name", changes={"name": None}),
    "an image with its host": Mistake(path="images[0]", changes={"images": ["ghcr.io/team/app:1"]}),
    "an image in capitals": Mistake(path="images[0]", changes={"images": ["App:1"]}),
    "an image without its tag": Mistake(path="images[0]", changes={"images": ["app:"]}),
    "an image listed twice": Mistake(path="images[1]", changes={"images": ["app:1", "app:1"]}),
    "a digest that is cut": Mistake(path="images[0]", changes={"images": ["app@sha256:0a0a"]}),
    "a misspelt engine": Mistake(path="matrix.engines[0]", changes=_matrix(engines=["dokcer"])),
    "an engine that there is not": Mistake(path="matrix.engines[0]", changes=_matrix(engines=["crane"])),
    "a misspelt registry": Mistake(
        path="matrix.registries[0]", changes=_matrix(registries=["eu-1"]), schema_sees_it=False
    ),
    "a proxy that is not declared": Mistake(path="matrix.proxies[0]", changes=_matrix(proxies=["cache"])),
    "a misspelt proxy": Mistake(
        path="matrix.proxies[0]", changes={"proxies": [MIRROR], **_matrix(proxies=["chache"])}, schema_sees_it=False
    ),
    "a number in place of a list": Mistake(path="matrix.concurrency", changes=_matrix(concurrency=4)),
    "text in place of a number": Mistake(path="repetitions", changes={"repetitions": "many"}),
    "a number that is too small": Mistake(path="matrix.concurrency[0]", changes=_matrix(concurrency=[0])),
    "a number that is too large": Mistake(path="matrix.concurrency[0]", changes=_matrix(concurrency=[5000])),
    "part of a number": Mistake(path="repetitions", changes={"repetitions": 2.5}),
    "yes in place of a number": Mistake(path="", changes={"retries": True}),
    "a value listed twice": Mistake(path="matrix.concurrency[2]", changes=_matrix(concurrency=[1, 2, 1])),
    "a platform without its system": Mistake(path="matrix.platforms[0]", changes=_matrix(platforms=["amd64"])),
    "a misspelt value": Mistake(path="matrix.cache[0]", changes=_matrix(cache=["clod"])),
    "a list in place of a section": Mistake(path="matrix", changes={"matrix": ["wire"]}),
    "a section in place of a list": Mistake(path="images", changes={"images": {"app": 1}}),
    "a size in an unknown unit": Mistake(path="budget.bytes", changes={"budget": {"bytes": "50 quux"}}),
    "a label that YAML reads as a number": Mistake(path="labels.commit", changes={"labels": {"commit": 1234567}}),
    "a mirror without its registry": Mistake(path="proxies[0]", changes={"proxies": [{**MIRROR, "upstream": None}]}),
    "a mirror of an unknown registry": Mistake(
        path="proxies[0].upstream", changes={"proxies": [{**MIRROR, "upstream": "us"}]}, schema_sees_it=False
    ),
    "a proxy called direct": Mistake(path="proxies[0]", changes={"proxies": [{**MIRROR, "name": "direct"}]}),
    "a forward proxy with a prefix": Mistake(path="proxies[0]", changes={"proxies": [{**FORWARD, "prefix": "x"}]}),
    "both ways to empty a mirror": Mistake(
        path="proxies[0].cold", changes={"proxies": [{**MIRROR, "cold": {"push": "a/b", "reset": ["true"]}}]}
    ),
    "an option of another engine": Mistake(
        path="engines[0]", changes={"engines": [{"name": "d", "kind": "docker", "sink": "disk"}]}
    ),
    "an HTTP version that YAML reads as a number": Mistake(
        path="engines[0].http_version", changes=_engine(http_version=1.1)
    ),
    "a socket without a scheme": Mistake(
        path="engines[0].host", changes={"engines": [{"name": "d", "kind": "docker", "host": "/run/docker.sock"}]}
    ),
    "base-first without a base": Mistake(path="engines[0]", changes=_engine(strategy="base-first")),
    "an open load without a rate": Mistake(path="load", changes={"load": {"mode": "open"}}),
    "a rate without an open load": Mistake(path="load", changes={"load": {"rate": 5}}),
    "a success rate in percent": Mistake(path="slo.success_rate", changes={"slo": {"success_rate": 99.9}}),
    "steps that go down": Mistake(path="stress", changes={"stress": {"steps": [4, 2]}}, schema_sees_it=False),
}
