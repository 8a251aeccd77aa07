"""The lab of a calibration: servers and lines whose truth is told to their processes, and to nobody who measures them.

client ── link ──► line-1                  a round trip and a rate, or a round trip with jitter
       ──────────► line-2                  a service time, faults, or a slow TLS handshake: no link before these
       ──────────► line-3 ──► upstream     a pull-through cache that forgets
"""

import contextlib
import ipaddress
import json
import os
import random
import socket
import ssl
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pullbench.lab.children import Child, end_all
from pullbench.lab.contents import LabImage
from pullbench.lab.folder import LabFolder
from pullbench.lab.images import make_image
from pullbench.lab.reference_client import ExchangeTimings, summarize, time_exchanges, time_tls_handshake
from pullbench.lab.registry import listen, url_of
from pullbench.model.calibration import Counted, Line, Truth


def draw_lines(seed: int, *, quick: bool) -> tuple[Line, ...]:
    """Lines `line-1`, `line-2`, …; `quick`: one of each sort, else two of most.

    The sorts: far and fast, near and slow, late to answer, jittery, faulty, slow to shake hands, and a pull-through cache
    that forgets. So a long wait stands beside a fast transfer, and a short one beside a slow transfer.
    """
    draw = random.Random(f"calibration:{seed}")
    makers = [_far, _near, _late, _jittery, _refusing, _shaking, _forgetting]
    makers += [] if quick else [_farther, _nearish, _later, _cutting]
    names = [f"line-{number}" for number in range(1, len(makers) + 1)]
    draw.shuffle(names)
    lines = [make(draw, name) for make, name in zip(makers, names, strict=True)]
    return tuple(sorted(lines, key=lambda line: int(line.name.removeprefix("line-"))))


def server_part(line: Line, *, images: str, seed: int) -> dict[str, Any]:
    """What the process of its server is told, but for where it listens, what a cache has behind it, and its certificate."""
    told: dict[str, Any] = {"seed": seed}
    if line.hit_rate is not None:
        return told | {"forgets": 1 - line.hit_rate}
    if line.service_s is not None:
        told["service_s"] = line.service_s
    if line.fault is not None:
        told["faults"] = [{"kind": line.fault, "rate": line.fault_rate, "on": "layer"}]
    if line.handshake_s is not None:
        told["faults"] = [{"kind": "latency", "rate": 1.0, "on": "connection", "seconds": line.handshake_s}]
    return told | {"images": images}


def link_part(line: Line, *, seed: int) -> dict[str, Any]:
    """What the process of the links is told of the one before it, but for its ends."""
    return {
        "delay_s": (line.round_trip_s or 0.0) / 2,
        "rate_bytes_per_s": line.rate_bytes_per_s,
        "jitter_s": line.jitter_s or 0.0,
        "exact": True,
        "seed": seed,
    }


def _far(draw: random.Random, name: str) -> Line:
    return Line(name=name, round_trip_s=draw.uniform(0.055, 0.08), rate_bytes_per_s=draw.uniform(25e6, 35e6))


def _farther(draw: random.Random, name: str) -> Line:
    return Line(name=name, round_trip_s=draw.uniform(0.09, 0.13), rate_bytes_per_s=draw.uniform(25e6, 35e6))


def _near(draw: random.Random, name: str) -> Line:
    return Line(name=name, round_trip_s=draw.uniform(0.016, 0.022), rate_bytes_per_s=draw.uniform(9e6, 12e6))


def _nearish(draw: random.Random, name: str) -> Line:
    return Line(name=name, round_trip_s=draw.uniform(0.03, 0.04), rate_bytes_per_s=draw.uniform(14e6, 20e6))


def _late(draw: random.Random, name: str) -> Line:
    return Line(name=name, service_s=draw.uniform(0.015, 0.03))


def _later(draw: random.Random, name: str) -> Line:
    return Line(name=name, service_s=draw.uniform(0.06, 0.11))


def _jittery(draw: random.Random, name: str) -> Line:
    return Line(name=name, round_trip_s=draw.uniform(0.03, 0.045), jitter_s=draw.uniform(0.014, 0.02))


def _refusing(draw: random.Random, name: str) -> Line:
    return Line(name=name, fault="server_error", fault_rate=draw.uniform(0.08, 0.25))


def _cutting(draw: random.Random, name: str) -> Line:
    return Line(name=name, fault="truncation", fault_rate=draw.uniform(0.25, 0.45))


def _shaking(draw: random.Random, name: str) -> Line:
    return Line(name=name, handshake_s=draw.uniform(0.12, 0.18))


def _forgetting(draw: random.Random, name: str) -> Line:
    return Line(name=name, hit_rate=draw.uniform(0.5, 0.85))


_HOST = ipaddress.ip_address("127.0.0.1")
_VALID = timedelta(days=365)


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write `certificate.pem`, which is its own CA file too, and `key.pem`, readable by its owner alone; their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pullbench lab")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(_HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].touch(mode=0o600)
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths[1].write_bytes(key.private_bytes(*plain))
    return paths


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
    _small: dict[str, list[ExchangeTimings]] = field(default_factory=dict)
    _large: dict[str, list[ExchangeTimings]] = field(default_factory=dict)
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
            # No `slo`: what a server gives is known here; whether it is enough is not the question.
        }

    def begin(self) -> None:
        """Look at the lines by plain sockets, let the cache have the layers, and count from here on."""
        self._load = os.getloadavg()[0]
        self._look()
        for line in self.lines:
            if line.hit_rate is not None:
                time_exchanges(self._urls[line.name], [self._manifest_path, *self._layers])
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
            line.name: summarize(
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
                every += [time_tls_handshake(self._urls[line.name], self.ca_file) for _ in range(_LOOKS // 2)]
            elif line.round_trip_s is not None or line.service_s is not None:
                self._small.setdefault(line.name, []).append(time_exchanges(self._urls[line.name], small))
                if line.rate_bytes_per_s is not None:
                    self._large.setdefault(line.name, []).append(time_exchanges(self._urls[line.name], self._layers))

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
