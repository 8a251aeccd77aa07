"""`tcp`: the port accepts connections at every address of the name."""

import socket
import time
from dataclasses import dataclass, replace
from functools import partial

from pullbench.errors import ErrorCode
from pullbench.model.addresses import Endpoint, connected_endpoint
from pullbench.model.finding import Finding, Status
from pullbench.preflight.check import Check, ObservedFault, Room, Target, cure_of, every_route, failed, passed, warned
from pullbench.preflight.context import CheckContext
from pullbench.preflight.parallel import in_parallel
from pullbench.registry import faults

ID = "tcp"
CONNECT_TIMEOUT_S = 5.0
MAX_ADDRESSES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionAttempt:
    """One connection attempt: accepted after `connect_s`, or failed with a fault."""

    address: Endpoint
    connect_s: float
    fault: ObservedFault | None = None


def probe(_context: CheckContext, target: Target) -> tuple[ConnectionAttempt, ...]:
    """Connect to up to MAX_ADDRESSES addresses concurrently, so that several silent ones cost one timeout."""
    connected = connected_endpoint(target.route)
    try:
        answers = socket.getaddrinfo(connected.host, connected.port, type=socket.SOCK_STREAM)
    except OSError as error:  # the dns check reports this too, but it may be skipped
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
    """Fail if no address answers. Warn if one drops packets, or is down while others of its kind answer."""
    expected = f"{connected_endpoint(target.route)} accepts connections"
    taken = [attempt for attempt in evidence if attempt.fault is None]
    missed = [(attempt, attempt.fault) for attempt in evidence if attempt.fault is not None]
    if not taken:
        attempt, fault = missed[0]
        combined = ObservedFault(
            code=fault.code,
            text="; ".join(each.text for _, each in missed),
            parameters={"address": attempt.address.host},
        )
        return [failed(ID, target, combined, expected, cure_of(fault, target, address=attempt.address.host))]
    observed = ", ".join(f"{attempt.address} in {attempt.connect_s * 1000:.1f} ms" for attempt in taken)
    if missed:
        observed += f", but {'; '.join(str(fault) for _, fault in missed)}"
    kinds = {_is_ipv6(attempt) for attempt in taken}
    # An immediate failure at an address of the other kind costs a client nothing: it tries the next.
    harmful = [(attempt, fault) for attempt, fault in missed if _is_silent(fault) or _is_ipv6(attempt) in kinds]
    if harmful:
        attempt, fault = min(harmful, key=lambda each: not _is_silent(each[1]))
        cure = f"fix {attempt.address.host}, or remove it from the DNS record; " + cure_of(
            fault, target, address=attempt.address.host
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
    looks_at="Opens a connection to each address of the name, with a timeout of 5 s.",
    statuses={
        Status.PASS: "the addresses accept connections",
        Status.WARN: "one address works, but another drops packets, so clients that try it first wait; or another is down while "
        "others of its kind (IPv4, IPv6) answer",
        Status.FAIL: "no address accepts connections",
    },
    advice="Start the registry or open the port, then check it: `nc -vz HOST PORT`.",
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"dns"}),
)
