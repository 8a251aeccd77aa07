"""`dns`: the host's name leads to an address."""

import ipaddress
import socket
from dataclasses import dataclass

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.preflight import endpoint
from pullbench.preflight.check import Check, Fault, Room, Target, failed, passed
from pullbench.preflight.remedy import remedy
from pullbench.preflight.targets import every_route
from pullbench.preflight.world import World
from pullbench.registry import faults

ID = "dns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What the system's resolver said of a name; `addresses` in the order in which a client tries them."""

    host: str
    addresses: tuple[str, ...] = ()
    fault: Fault | None = None


def probe(_world: World, target: Target) -> Resolution:
    """Ask the system's resolver, as every client here does."""
    connected = endpoint.of_connection(target.route)
    try:
        answers = socket.getaddrinfo(connected.host, connected.port, type=socket.SOCK_STREAM)
    except UnicodeError:
        detail = f"resolve {connected.host}: no host name: a part is empty or longer than 63 characters"
        return Resolution(host=connected.host, fault=Fault(code=ErrorCode.DNS, text=detail))
    except OSError as error:
        fault = Fault.of(faults.of_exception(f"resolve {connected.host}", error))
        return Resolution(host=connected.host, fault=fault)
    addresses = tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))
    return Resolution(host=connected.host, addresses=addresses)


def judge(evidence: Resolution, target: Target) -> list[Finding]:
    expected = f"{evidence.host} has an address"
    if evidence.fault is not None:
        return [failed(ID, target, evidence.fault, expected, remedy(evidence.fault.code, target.route))]
    shown = ", ".join(evidence.addresses)
    observed = f"{evidence.host} is an address" if _is_address(evidence.host) else f"{evidence.host} → {shown}"
    if target.route.forward_url is not None:
        observed += " (the forward proxy, which looks up the registry itself)"
    return [passed(ID, target, observed, expected)]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


CHECK = Check(
    id=ID,
    room=Room.NETWORK,
    looks_at="Asks the system's resolver, as clients do, for the addresses of the host that is connected to: the "
    "registry, the mirror, or the forward proxy.",
    statuses={
        Status.PASS: "the name has an address, or is one",
        Status.FAIL: "it has none, or the resolver does not answer",
    },
    advice="Check the name and the resolver: `getent hosts HOST`.",
    targets=every_route,
    probe=probe,
    judge=judge,
    timeout_s=30.0,
)
