"""The lab of a calibration: servers and lines whose truth is told to their processes, and to nobody who measures them.

client ── link ──► line-1                  a round trip and a rate, or a round trip with jitter
       ──────────► line-2                  a service time, faults, or a slow TLS handshake: no link before these
       ──────────► line-3 ──► upstream     a pull-through cache that forgets
"""

import contextlib
import json
import os
import socket
import ssl
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pullbench.lab.certificate import write_certificate
from pullbench.lab.children import Child, end_all
from pullbench.lab.folder import LabFolder
from pullbench.lab.images import make_image
from pullbench.lab.layout import LabImage
from pullbench.lab.reference import Seen, look, shake_hands, summed_up
from pullbench.lab.registry import listen, url_of
from pullbench.lab.truths import draw_lines, link_part, server_part
from pullbench.model.calibration import Counted, Line, Truth

IMAGE = "lab/calibration:1"
PLATFORM = "linux/amd64"
LAYERS_BYTES = (1_000_000, 1_000_000)
_UPSTREAM = "upstream"
"""What the cache has behind it; no line, and in no spec."""
_LOOKS = 6
_COUNTERS_WITHIN_S = 10.0
_STILL_S = 0.05
_NAMES = ("layers", "layer_bytes", "layer_hits", "faults")
_Counts = Mapping[str, Mapping[str, int]]


@dataclass(slots=True, kw_only=True)
class CalibrationLab:
    """A running lab; a context manager, so that its processes end with the block (and with this process, in any case)."""

    seed: int
    quick: bool
    lines: tuple[Line, ...]
    ca_file: Path
    _urls: Mapping[str, str]
    """Where clients go, by name."""
    _origins: Mapping[str, str]
    """The servers themselves, where they count."""
    _image: LabImage
    _folder: LabFolder
    _children: tuple[Child, ...]
    _load: float = 0.0
    _before: _Counts = field(default_factory=dict)
    _small: dict[str, list[Seen]] = field(default_factory=dict)
    _large: dict[str, list[Seen]] = field(default_factory=dict)
    _handshakes: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def start(cls, *, seed: int, quick: bool = False) -> Self:
        """Draw the lines and start everything on free ports of 127.0.0.1; raises PullbenchError where a process does not start."""
        lines = draw_lines(seed, quick=quick)
        with contextlib.ExitStack() as undo:
            home = undo.enter_context(LabFolder.open(None))
            backs = {name: undo.enter_context(listen()) for name in (*(line.name for line in lines), _UPSTREAM)}
            fronts = {line.name: undo.enter_context(listen()) for line in lines if line.round_trip_s is not None}
            children = [
                Child(part, log=home.path / f"{part}.log", sockets=[end.fileno() for end in ends.values()])
                for part, ends in (("registries", backs), ("links", fronts))
            ]
            undo.callback(lambda: end_all(children))
            certificate, key = write_certificate(home.path)
            folder = home.path / "images"
            image = make_image(folder, name=IMAGE, platform=PLATFORM, seed=seed, layers_bytes=LAYERS_BYTES)
            children[0].tell({"registries": _servers(lines, backs, home.path, (certificate, key), seed)})
            children[1].tell({"links": _links(lines, fronts, backs, seed)})
            for child in children:
                child.wait_ready()
            origins = {line.name: url_of(backs[line.name], _scheme(line)) for line in lines}
            lab = cls(
                seed=seed,
                quick=quick,
                lines=lines,
                ca_file=certificate,
                _urls=origins | {name: url_of(front) for name, front in fronts.items()},
                _origins=origins,
                _image=image,
                _folder=home,
                _children=tuple(children),
            )
            undo.pop_all()
        # The children hold the listening sockets now; a copy here would keep a dead one's port open.
        for listener in (*fronts.values(), *backs.values()):
            listener.close()
        return lab

    def spec(self) -> dict[str, Any]:
        """The mapping of the spec that measures the lab: names and addresses, and nothing of what the lines are like."""
        at_once = 2 if self.quick else 4
        return {
            "name": "calibration",
            "labels": {"lab": "quick" if self.quick else "full"},
            "registries": [self._entry(line) for line in self.lines],
            "engines": [{"name": "wire-serial", "kind": "wire", "layer_concurrency": 1}],
            "images": [IMAGE],
            "matrix": {
                "engines": ["wire-serial"],
                "platforms": [PLATFORM],
                "concurrency": [1, at_once],
            },
            "repetitions": 4 if self.quick else 5,
            "warmup": 0,
            "pulls_per_trial": at_once,
            "timeout_s": 60,
            # What a server gives is known here; whether it is enough is not the question.
            "slo": dict.fromkeys(("success_rate", "mean_pull_s", "p99_api_s", "consecutive_failures")),
        }

    def begin(self) -> None:
        """Look at the lines by plain sockets, let the cache have the layers, and count from here on."""
        self._load = os.getloadavg()[0]
        self._look()
        for line in self.lines:
            if line.hit_rate is not None:
                look(self._urls[line.name], [self._manifest_path, *self._layers])
        self._before = self._counts()

    def end(self) -> Truth:
        """What was true of what has been measured since `begin`; then look at the lines once more."""
        after = self._counts()
        self._look()
        counted = {
            name: Counted(**{key: after[name][key] - before[key] for key in _NAMES})
            for name, before in self._before.items()
        }
        references = {
            line.name: summed_up(
                self._small.get(line.name, ()), self._large.get(line.name, ()), self._handshakes.get(line.name, ())
            )
            for line in self.lines
        }
        return Truth(
            seed=self.seed, load=round(self._load, 2), lines=self.lines, counted=counted, references=references
        )

    def close(self) -> None:
        """End the processes, then remove the folder."""
        end_all(self._children)
        self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _entry(self, line: Line) -> dict[str, Any]:
        entry = {"name": line.name, "url": self._urls[line.name], "region": "lab", "credentials": "anonymous"}
        return entry | ({"ca_file": str(self.ca_file)} if _scheme(line) == "https" else {})

    @property
    def _manifest_path(self) -> str:
        return f"/v2/{self._image.repository}/manifests/{next(iter(self._image.manifests))}"

    @property
    def _layers(self) -> list[str]:
        layers = json.loads(next(iter(self._image.manifests.values())))["layers"]
        return [f"/v2/{self._image.repository}/blobs/{layer['digest']}" for layer in layers]

    def _look(self) -> None:
        small = [self._manifest_path] * _LOOKS
        for line in self.lines:
            if line.handshake_s is not None:
                every = self._handshakes.setdefault(line.name, [])
                every += [shake_hands(self._urls[line.name], self.ca_file) for _ in range(_LOOKS // 2)]
            elif line.round_trip_s is not None or line.service_s is not None:
                self._small.setdefault(line.name, []).append(look(self._urls[line.name], small))
                if line.rate_bytes_per_s is not None:
                    self._large.setdefault(line.name, []).append(look(self._urls[line.name], self._layers))

    def _counts(self) -> _Counts:
        """Of each server, once nothing moves any more: an answer is counted when it has left."""
        until = time.monotonic() + _COUNTERS_WITHIN_S
        found = self._read_counters()
        while time.monotonic() < until:
            time.sleep(_STILL_S)
            found, before = self._read_counters(), found
            if all(found[name]["layer_bytes"] == before[name]["layer_bytes"] for name in found):
                break
        return found

    def _read_counters(self) -> _Counts:
        context = ssl.create_default_context(cafile=self.ca_file)
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        found = {}
        for name, url in self._origins.items():
            with direct.open(f"{url}/lab/counters", timeout=_COUNTERS_WITHIN_S) as answer:
                counters = json.load(answer)
            found[name] = {key: int(counters[key]) for key in _NAMES}
        return found


def _servers(
    lines: Sequence[Line], backs: Mapping[str, socket.socket], home: Path, tls: tuple[Path, Path], seed: int
) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = [{"listener": backs[_UPSTREAM].fileno(), "images": str(home / "images")}]
    for line in lines:
        part = server_part(line, images=str(home / "images"), seed=seed) | {"listener": backs[line.name].fileno()}
        if line.hit_rate is not None:
            part |= {"upstream": url_of(backs[_UPSTREAM]), "cache_folder": str(home / "cache")}
        if _scheme(line) == "https":
            part |= {"certificate": str(tls[0]), "key": str(tls[1])}
        told.append(part)
    return told


def _links(
    lines: Sequence[Line], fronts: Mapping[str, socket.socket], backs: Mapping[str, socket.socket], seed: int
) -> list[dict[str, Any]]:
    return [
        link_part(line, seed=seed) | {"listener": fronts[line.name].fileno(), "target": backs[line.name].getsockname()}
        for line in lines
        if line.name in fronts
    ]


def _scheme(line: Line) -> str:
    return "http" if line.handshake_s is None else "https"
