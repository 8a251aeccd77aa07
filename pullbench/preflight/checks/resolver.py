"""`resolver`: this machine's name servers answer, and a lost packet costs little time."""

import ipaddress
import os
import socket
import struct
import time
from dataclasses import dataclass
from functools import partial

from pullbench.model.addresses import connected_endpoint
from pullbench.model.finding import Finding, Status
from pullbench.model.text import clean
from pullbench.preflight import resolv_conf
from pullbench.preflight.check import Check, FindingKind, Local, Room, passed, skipped, warned
from pullbench.preflight.context import CheckContext
from pullbench.preflight.parallel import in_parallel
from pullbench.preflight.resolv_conf import PATH, ResolvConf

ID = "resolver"
SLOW_LOOKUPS = "resolver-slow-lookups"
HERE = Local(name="this machine")
ADVISED_TIMEOUT_S = 2
ANSWER_WITHIN_S = 2.0
PORT = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class NameServerReply:
    """One name server's reply to one query: the time, or the problem."""

    server: str
    answered_s: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverState:
    """The machine's settings, the registries' names, and each name server's reply."""

    settings: ResolvConf | None = None
    hosts: tuple[str, ...] = ()
    """Host names of the routes (no addresses), in the spec's order."""
    asked: tuple[NameServerReply, ...] = ()


def probe(context: CheckContext, _target: Local) -> ResolverState:
    """Read the settings, and query all name servers concurrently for the first registry's name."""
    settings = resolv_conf.read()
    hosts = _names(context)
    if settings is None or not hosts:
        return ResolverState(settings=settings, hosts=hosts)
    calls = [partial(ask, server, hosts[0], port=PORT) for server in settings.used_servers]
    asked = in_parallel(calls, limit=resolv_conf.MAX_SERVERS, name="resolver")
    return ResolverState(settings=settings, hosts=hosts, asked=tuple(asked))


def _names(context: CheckContext) -> tuple[str, ...]:
    connected = (connected_endpoint(route).host for route in context.routes)
    return tuple(dict.fromkeys(host for host in connected if not _is_address(host) and host != "localhost"))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def ask(server: str, host: str, *, port: int) -> NameServerReply:
    """Send one query for an A record by UDP (RFC 1035, section 4), as the C library does. Any reply counts."""
    number = os.urandom(2)
    try:
        labels = b"".join(bytes([len(part)]) + part for part in host.encode("idna").split(b".") if part)
        query = number + struct.pack("!5H", 0x0100, 1, 0, 0, 0) + labels + struct.pack("!B2H", 0, 1, 1)
        family, kind, protocol, _, address = socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as talk:
            started = time.monotonic()
            talk.connect(address)
            talk.send(query)
            while (left_s := started + ANSWER_WITHIN_S - time.monotonic()) > 0:
                talk.settimeout(left_s)
                answer = talk.recv(4096)
                if answer[:2] == number and len(answer) >= 12 and answer[2] & 0x80:
                    return _read(server, answer[3] & 0x0F, time.monotonic() - started)
    except TimeoutError:
        pass
    except (OSError, UnicodeError) as error:
        return NameServerReply(server=server, problem=clean(error))
    return NameServerReply(server=server, problem=f"no answer within {ANSWER_WITHIN_S:g} s")


def _read(server: str, code: int, answered_s: float) -> NameServerReply:
    """NXDOMAIN is a working answer. After SERVFAIL or REFUSED the C library tries the next server."""
    problem = {2: "it answers SERVFAIL", 5: "it answers REFUSED"}.get(code, "")
    return NameServerReply(server=server, answered_s=round(answered_s, 6), problem=problem)


def judge(evidence: ResolverState, target: Local) -> list[Finding]:
    """Warn about settings that make lookups slow. The `dns` check fails if a name has no address."""
    settings, expected = (
        evidence.settings,
        f"every name server answers, and a lost packet costs at most {ADVISED_TIMEOUT_S} s",
    )
    if settings is None:
        return [skipped(ID, target, f"{PATH} cannot be read")]
    if not evidence.hosts:
        return [skipped(ID, target, "the spec has only addresses, so no name is looked up")]
    problems = _problems(settings, evidence)
    observed = _shown(settings, evidence.asked)
    if not problems:
        return [passed(ID, target, observed, expected)]
    seen, cures = zip(*problems, strict=True)
    return [warned(ID, target, f"{observed}; {'; '.join(seen)}", expected, "; ".join(cures), kind=SLOW_LOOKUPS)]


def _problems(settings: ResolvConf, evidence: ResolverState) -> list[tuple[str, str]]:
    """The problems, each with its remedy."""
    host, found = evidence.hosts[0], []
    for each in (entry for entry in evidence.asked if entry.problem):
        cost = f"lookups that start with it wait {settings.timeout_s} s" if each.answered_s is None else "it is useless"
        cure = f"fix {each.server} or remove it from {PATH}: `dig @{each.server} {host}`"
        found.append((f"{each.server}: {each.problem} ({cost})", cure))
    remote = [server for server in settings.used_servers if not _is_loopback(server)]
    if remote and settings.timeout_s > ADVISED_TIMEOUT_S:
        seen = f"a lost packet delays a lookup by {settings.timeout_s} s (timeout:{settings.timeout_s})"
        found.append((seen, f"add `options timeout:{ADVISED_TIMEOUT_S}` to {PATH}, in the tool that generates it"))
    searched = [name for name in evidence.hosts if name.count(".") < settings.ndots]
    if searched and settings.search and settings.ndots > 1:
        seen = (
            f"ndots:{settings.ndots}: {searched[0]} is looked up in {len(settings.search)} search "
            f"domain{'s' if len(settings.search) > 1 else ''} first"
        )
        cure = f"set `options ndots:{searched[0].count('.') or 1}` (Kubernetes: the pod's `dnsConfig.options`)"
        found.append((seen, cure))
    return found


def _shown(settings: ResolvConf, asked: tuple[NameServerReply, ...]) -> str:
    took = {each.server: each.answered_s for each in asked if each.answered_s is not None and not each.problem}
    servers = [
        f"{server} in {took[server] * 1000:.1f} ms" if server in took else server for server in settings.used_servers
    ]
    unused = len(settings.name_servers) - len(servers)
    more = f" (and {unused} that the C library does not use)" if unused > 0 else ""
    return f"name servers {', '.join(servers) or '127.0.0.1'}{more}; options {' '.join(settings.options) or '(none)'}"


def _is_loopback(server: str) -> bool:
    """A resolver on this machine loses no packets and has its own timeouts."""
    return _is_address(server) and ipaddress.ip_address(server).is_loopback


CHECK = Check(
    id=ID,
    room=Room.CLIENT,
    looks_at=f"Reads `{PATH}`, and queries each name server in it for the first registry's name.",
    statuses={
        Status.PASS: "every name server answers, and a lost packet costs a lookup at most 2 s",
        Status.WARN: "a name server is silent, fails or refuses; `timeout:` is over 2 with a name server on another machine; or "
        "`ndots:` makes lookups try the search domains first",
        Status.SKIP: "there is no such file, or the spec has only addresses",
    },
    advice="Fix the silent name server or remove it (`dig @SERVER HOST`); set `options timeout:2` and `options ndots:1` in "
    "`/etc/resolv.conf`.",
    kinds={
        SLOW_LOOKUPS: FindingKind(
            cause="A name server in `/etc/resolv.conf` is down, the file has the default timeout of 5 s, or `ndots:` is high, as in Kubernetes.",
            remedy="Fix or remove the silent server (`dig @SERVER HOST`); set `options timeout:2` and `options ndots:1`.",
        ),
    },
    targets=lambda _context: [HERE],
    probe=probe,
    judge=judge,
    timeout_s=20.0,
)
