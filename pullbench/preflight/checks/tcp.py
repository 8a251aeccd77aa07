"""`tcp`: the port takes connections, at every address that the name has."""

import socket
import time
from dataclasses import dataclass, replace
from functools import partial

from pullbench.errors import ErrorCode
from pullbench.model.addresses import Endpoint, connected_endpoint
from pullbench.model.finding import Finding, Status
from pullbench.model.remedy import remedy
from pullbench.preflight.check import Check, ObservedFault, Room, Target, every_route, failed, passed, warned
from pullbench.preflight.context import CheckContext
from pullbench.preflight.parallel import in_parallel
from pullbench.registry import faults

ID = "tcp"
CONNECT_TIMEOUT_S = 5.0
MAX_ADDRESSES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionAttempt:
    """One connection attempt: taken after `connect_s`, or refused with a fault."""

    address: Endpoint
    connect_s: float
    fault: ObservedFault | None = None


def probe(_context: CheckContext, target: Target) -> tuple[ConnectionAttempt, ...]:
    """Connect to each address, at most MAX_ADDRESSES, side by side: silent ones are waited for once."""
    connected = connected_endpoint(target.route)
    try:
        answers = socket.getaddrinfo(connected.host, connected.port, type=socket.SOCK_STREAM)
    except OSError as error:  # dns says so too, but may be left out
        fault = ObservedFault.of(faults.of_exception(f"resolve {connected.host}", error))
        return (ConnectionAttempt(address=connected, connect_s=0.0, fault=fault),)
    addresses = dict.fromkeys(Endpoint(host=str(answer[4][0]), port=connected.port) for answer in answers)
    calls = [partial(_attempt, address) for address in list(addresses)[:MAX_ADDRESSES]]
    return tuple(in_parallel(calls, limit=MAX_ADDRESSES, name="tcp"))


def _attempt(address: Endpoint) -> ConnectionAttempt:
    started = time.monotonic()
    fault = None
    try:
        socket.create_connection((address.host, address.port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        fault = ObservedFault.of(faults.of_exception(f"connect to {address}", error))
    return ConnectionAttempt(address=address, connect_s=time.monotonic() - started, fault=fault)


def judge(evidence: tuple[ConnectionAttempt, ...], target: Target) -> list[Finding]:
    """No address answers: fail. One that swallows packets, or is down beside others of its kind: warn."""
    expected = f"{connected_endpoint(target.route)} takes connections"
    taken = [attempt for attempt in evidence if attempt.fault is None]
    missed = [(attempt, attempt.fault) for attempt in evidence if attempt.fault is not None]
    if not taken:
        attempt, fault = missed[0]
        told = ObservedFault(
            code=fault.code,
            text="; ".join(each.text for _, each in missed),
            parameters={"address": attempt.address.host},
        )
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
        cause = replace(fault, parameters={"address": attempt.address.host})
        return [warned(ID, target, observed, expected, cure, cause=cause)]
    return [passed(ID, target, observed, expected)]


def _is_silent(fault: ObservedFault) -> bool:
    return fault.code is ErrorCode.CONNECT_TIMEOUT


def _is_ipv6(attempt: ConnectionAttempt) -> bool:
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
