"""The whole embedded lab: two regions, a pull-through cache, and the links between them, each in its own process.

client ── near ──► eu                  near   4 ms round trip, 1 Gbit/s
       ── far ───► us ◄── far ─┐       far   30 ms round trip, 200 Mbit/s, one link for both of its users
       ── near ──► cache ──────┘       cache  a pull-through mirror of us

The demo's spec is sized so that concurrency, region, platform and mirror have visible effects on two cores in a minute.
"""

import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pullbench.lab.children import Child, end_all
from pullbench.lab.contents import LabImage
from pullbench.lab.folder import LabFolder
from pullbench.lab.images import make_images
from pullbench.lab.link import LinkShape
from pullbench.lab.registry import listen, url_of

NEAR = LinkShape(delay_s=0.002, rate_bytes_per_s=125e6)
FAR = LinkShape(delay_s=0.015, rate_bytes_per_s=25e6)
PLATFORMS = ("linux/amd64", "linux/arm64")
COLD_REPOSITORY = "pullbench/cold"
"""The repository at us for the images that make the mirror cold, if a run asks for a cold mirror."""
_LINKS = {"eu": NEAR, "us": FAR, "cache": NEAR}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedLab:
    """A running lab; a context manager: its processes end with the block, and always with this process."""

    registries: Mapping[str, str]
    """URL by name: eu, us."""
    cache: str
    """URL of the pull-through mirror of us."""
    origins: Mapping[str, str]
    """The same servers (eu, us, cache) without their links, for example for `/lab/counters`."""
    images: tuple[LabImage, ...]
    _folder: LabFolder
    _children: tuple[Child, ...]

    @classmethod
    def start(
        cls,
        *,
        seed: int = 1,
        folder: Path | None = None,
        count: int = 4,
        total_bytes: int = 5_000_000,
        max_layers: int = 5,
        links: Mapping[str, LinkShape] | None = None,
        slots: int | None = None,
        service_s: float = 0.0,
    ) -> Self:
        """Create the images and start everything on free ports of 127.0.0.1; everything is ready when it returns.

        Content is in `folder`, or in a temporary directory that is removed with the lab; only then do eu and us accept pushes. `links` replaces links by the name of
        their target. `slots` and `service_s` limit eu and us, as in `Registry`. Raises PullbenchError if a process does not
        start, UsageError as make_images does.
        """
        with contextlib.ExitStack() as undo:
            home = undo.enter_context(LabFolder.open(folder))
            fronts = {name: undo.enter_context(listen()) for name in _LINKS}
            backs = {name: undo.enter_context(listen()) for name in _LINKS}
            children = _spawn(home.path, fronts, backs, undo)
            images = make_images(
                home.path / "images",
                seed=seed,
                count=count,
                total_bytes=total_bytes,
                platforms=PLATFORMS,
                max_layers=max_layers,
            )
            capacity = {"slots": slots, "service_s": service_s}
            shapes = {**_LINKS, **(links or {})}
            _tell(children, home.path, fronts, backs, shapes, capacity, accepts_pushes=folder is None)
            for child in children.values():
                child.wait_ready()
            urls = {name: url_of(front) for name, front in fronts.items()}
            lab = cls(
                registries={"eu": urls["eu"], "us": urls["us"]},
                cache=urls["cache"],
                origins={name: url_of(back) for name, back in backs.items()},
                images=images,
                _folder=home,
                _children=tuple(children.values()),
            )
            undo.pop_all()
        # The children now own the listening sockets; a copy here would keep a dead child's port open.
        for listener in (*fronts.values(), *backs.values()):
            listener.close()
        return lab

    def spec(self, quick: bool = False) -> dict[str, Any]:
        """The demo's spec as a mapping, for read_spec or for YAML."""
        return demo_spec(self.registries, self.cache, [image.name for image in self.images], PLATFORMS, quick=quick)

    def addresses(self) -> dict[str, Any]:
        """The JSON data that `python -m pullbench.lab` prints."""
        images = [image.name for image in self.images]
        return {
            "registries": dict(self.registries),
            "cache": self.cache,
            "origins": dict(self.origins),
            "images": images,
        }

    def close(self) -> None:
        """End the processes, then remove a temporary directory."""
        end_all(self._children)
        self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _spawn(
    home: Path, fronts: Mapping[str, socket.socket], backs: Mapping[str, socket.socket], undo: contextlib.ExitStack
) -> dict[str, Child]:
    """Start the interpreters; they load while the images are created."""
    children: dict[str, Child] = {}
    undo.callback(lambda: end_all(tuple(children.values())))
    for name, back in backs.items():
        children[name] = Child("registry", log=home / f"{name}.log", sockets=[back.fileno()])
    children["links"] = Child("links", log=home / "links.log", sockets=[front.fileno() for front in fronts.values()])
    return children


def _tell(
    children: Mapping[str, Child],
    home: Path,
    fronts: Mapping[str, socket.socket],
    backs: Mapping[str, socket.socket],
    links: Mapping[str, LinkShape],
    capacity: Mapping[str, Any],
    *,
    accepts_pushes: bool,
) -> None:
    for name in ("eu", "us"):
        told = {"listener": backs[name].fileno(), "images": str(home / "images"), **capacity}
        pushes = {"uploads_folder": str(home / f"pushed-{name}")} if accepts_pushes else {}
        children[name].tell(told | pushes)
    children["cache"].tell(
        {"listener": backs["cache"].fileno(), "upstream": url_of(fronts["us"]), "cache_folder": str(home / "cache")}
    )
    ends = [
        {
            "listener": front.fileno(),
            "target": backs[name].getsockname(),
            "delay_s": links[name].delay_s,
            "rate_bytes_per_s": links[name].rate_bytes_per_s,
        }
        for name, front in fronts.items()
    ]
    children["links"].tell({"links": ends})


def demo_spec(
    registries: Mapping[str, str], cache: str, images: Sequence[str], platforms: Sequence[str], *, quick: bool
) -> dict[str, Any]:
    """A mapping for read_spec. Its trials take about 50 s; with `quick` about 10 s, with fewer configurations and repetitions."""
    regions = {"eu": "eu-west", "us": "us-east"}
    return {
        "name": "demo",
        "labels": {"lab": "quick" if quick else "full"},
        "registries": [
            {"name": name, "url": url, "region": regions[name], "credentials": "anonymous"}
            for name, url in registries.items()
        ],
        "proxies": [
            {
                **{"name": "cache", "kind": "mirror", "upstream": "us", "url": cache, "credentials": "anonymous"},
                "cold": {"push": COLD_REPOSITORY},
            }
        ],
        "images": list(images),
        "matrix": {
            "engines": ["wire"],
            "registries": list(registries),
            "proxies": ["direct", "cache"],
            "platforms": list(platforms[:1] if quick else platforms),
            "concurrency": [1, 4] if quick else [1, 2, 4, 8],
        },
        "repetitions": 5,
        "warmup": 1,
        # A multiple of the highest concurrency, so that no worker is idle at the end.
        "pulls_per_trial": 4 if quick else 8,
        "timeout_s": 30,
        # The pulls suffice for a verdict on each.
        "slo": {
            "success_rate": 0.95 if quick else 0.99,
            "p95_pull_s": 3.0,
            **({} if quick else {"p99_api_s": 2.0}),
            "consecutive_failures": 3,
        },
    }
