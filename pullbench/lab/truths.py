"""What a calibration's lines are like: drawn from ranges by a seed, dealt to names that say nothing, and told to their processes. Pure."""

import random
from typing import Any

from pullbench.model.calibration import Line


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
