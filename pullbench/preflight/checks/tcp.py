"""`tcp`: the port takes connections, at every address that the name has."""

import socket
import time
from dataclasses import dataclass
from functools import partial

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.preflight import endpoint
from pullbench.preflight.check import Check, Fault, Room, Target, failed, passed, warned
from pullbench.preflight.endpoint import Endpoint
from pullbench.preflight.remedy import remedy
from pullbench.preflight.targets import every_route
from pullbench.preflight.together import together
from pullbench.preflight.world import World
from pullbench.registry import faults

ID = "tcp"
CONNECT_TIMEOUT_S = 5.0
MAX_ADDRESSES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One connection attempt: taken after `connect_s`, or refused with a fault."""

    address: Endpoint
    connect_s: float
    fault: Fault | None = None


def probe(_world: World, target: Target) -> tuple[Attempt, ...]:
    """Connect to each address, at most MAX_ADDRESSES, side by side: silent ones are waited for once."""
    connected = endpoint.of_connection(target.route)
    try:
        answers = socket.getaddrinfo(connected.host, connected.port, type=socket.SOCK_STREAM)
    except OSError as error:  # dns says so too, but may be left out
        fault = Fault.of(faults.of_exception(f"resolve {connected.host}", error))
        return (Attempt(address=connected, connect_s=0.0, fault=fault),)
    addresses = dict.fromkeys(Endpoint(host=str(answer[4][0]), port=connected.port) for answer in answers)
    calls = [partial(_attempt, address) for address in list(addresses)[:MAX_ADDRESSES]]
    return tuple(together(calls, at_once=MAX_ADDRESSES, name="tcp"))


def _attempt(address: Endpoint) -> Attempt:
    started = time.monotonic()
    fault = None
    try:
        socket.create_connection((address.host, address.port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        fault = Fault.of(faults.of_exception(f"connect to {address}", error))
    return Attempt(address=address, connect_s=time.monotonic() - started, fault=fault)


def judge(evidence: tuple[Attempt, ...], target: Target) -> list[Finding]:
    """No address answers: fail. One that swallows packets, or is down beside others of its kind: warn."""
    expected = f"{endpoint.of_connection(target.route)} takes connections"
    taken = [attempt for attempt in evidence if attempt.fault is None]
    missed = [(attempt, attempt.fault) for attempt in evidence if attempt.fault is not None]
    if not taken:
        attempt, fault = missed[0]
        told = Fault(code=fault.code, text="; ".join(each.text for _, each in missed))
        return [failed(ID, target, told, expected, remedy(fault.code, target.route, address=attempt.address.host))]
    observed = ", ".join(f"{attempt.address} in {attempt.connect_s * 1000:.1f} ms" for attempt in taken)
    if missed:
        observed += f", but {'; '.join(str(fault) for _, fault in missed)}"
    kinds = {_is_ipv6(attempt) for attempt in taken}
    # A client that fails at once at an address of the other kind goes on: that costs it nothing.
    harmful = [(attempt, fault) for attempt, fault in missed if _is_silent(fault) or _is_ipv6(attempt) in kinds]
    if harmful:
        attempt, fault = min(harmful, key=lambda each: not _is_silent(each[1]))
        cure = f"take {attempt.address.host} out of the DNS answer, or mend it; " + remedy(
            fault.code, target.route, address=attempt.address.host
        )
        return [warned(ID, target, observed, expected, cure)]
    return [passed(ID, target, observed, expected)]


def _is_silent(fault: Fault) -> bool:
    return fault.code is ErrorCode.CONNECT_TIMEOUT


def _is_ipv6(attempt: Attempt) -> bool:
    return ":" in attempt.address.host


CHECK = Check(
    id=ID,
    room=Room.NETWORK,
    looks_at="Opens a connection to each address of the name, with 5 s for each.",
    statuses={
        Status.PASS: "an address takes connections",
        Status.WARN: "one does, and another swallows packets, so that who tries it first waits, or is down beside others of "
        "its kind (IPv4, IPv6)",
        Status.FAIL: "none does",
    },
    advice="Start the registry or open the port, and see that it is open: `nc -vz HOST PORT`.",
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"dns"}),
)
