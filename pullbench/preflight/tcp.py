"""`tcp`: the port takes connections, at every address that the name has."""

import socket
import time
from dataclasses import dataclass

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.preflight import endpoint
from pullbench.preflight.check import Check, Fault, Room, Target, failed, passed, warned
from pullbench.preflight.endpoint import Endpoint
from pullbench.preflight.remedy import remedy
from pullbench.preflight.targets import every_route
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
    """Connect to each address in turn, at most MAX_ADDRESSES, as a client would when the first ones fail."""
    connected = endpoint.of_connection(target.route)
    try:
        answers = socket.getaddrinfo(connected.host, connected.port, type=socket.SOCK_STREAM)
    except OSError as error:  # dns says so too, but may be left out
        fault = Fault.of(faults.of_exception(f"resolve {connected.host}", error))
        return (Attempt(address=connected, connect_s=0.0, fault=fault),)
    addresses = dict.fromkeys(Endpoint(host=str(answer[4][0]), port=connected.port) for answer in answers)
    return tuple(_attempt(address) for address in list(addresses)[:MAX_ADDRESSES])


def _attempt(address: Endpoint) -> Attempt:
    started = time.monotonic()
    fault = None
    try:
        socket.create_connection((address.host, address.port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        fault = Fault.of(faults.of_exception(f"connect to {address}", error))
    return Attempt(address=address, connect_s=time.monotonic() - started, fault=fault)


def judge(evidence: tuple[Attempt, ...], target: Target) -> list[Finding]:
    """No address answers: fail. One that swallows packets while another answers costs every client that time: warn."""
    expected = f"{endpoint.of_connection(target.route)} takes connections"
    taken = [attempt for attempt in evidence if attempt.fault is None]
    faults_seen = [(attempt, attempt.fault) for attempt in evidence if attempt.fault is not None]
    if not taken:
        attempt, fault = faults_seen[0]
        told = Fault(code=fault.code, text="; ".join(each.text for _, each in faults_seen))
        return [failed(ID, target, told, expected, remedy(fault.code, target.route, address=attempt.address.host))]
    observed = ", ".join(f"{attempt.address} in {attempt.connect_s * 1000:.1f} ms" for attempt in taken)
    silent = [(attempt, fault) for attempt, fault in faults_seen if fault.code is ErrorCode.CONNECT_TIMEOUT]
    if silent:
        attempt, fault = silent[0]
        cure = f"take {attempt.address.host} out of the DNS answer, or mend it; " + remedy(
            fault.code, target.route, address=attempt.address.host
        )
        return [warned(ID, target, f"{observed}, but {'; '.join(str(each) for _, each in silent)}", expected, cure)]
    return [passed(ID, target, observed, expected)]


CHECK = Check(
    id=ID,
    room=Room.NETWORK,
    looks_at="Opens a connection to each address of the name, with 5 s for each.",
    statuses={
        Status.PASS: "an address takes connections",
        Status.WARN: "one does, and another swallows packets: every client that tries it first waits",
        Status.FAIL: "none does",
    },
    advice="Start the registry or open the port, and see that it is open: `nc -vz HOST PORT`.",
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"dns"}),
)
