"""The bytes of blobs that a registry reports as served, to verify a mirror's cache headers."""

import json
import re
from urllib.parse import urlsplit

from pullbench.errors import ErrorCode
from pullbench.model.route import Route
from pullbench.registry.answer import Answer
from pullbench.registry.exchange import Exchanger

_MAX_BYTES = 4 * 1024 * 1024
_IN_FLIGHT = re.compile(r"^registry_http_in_flight_requests\{([^}]*)\}\s+([0-9.eE+]+)\s*$", re.MULTILINE)
_SUM = re.compile(r"^registry_http_response_size_bytes_sum\{([^}]*)\}\s+([0-9.eE+]+)\s*$", re.MULTILINE)


def served_blob_bytes(url: str, ca_file: str | None = None) -> int:
    """Read the metrics page of CNCF distribution, or `/lab/counters` of the embedded lab. Raises RegistryError."""
    return _read(_page(url, ca_file))


def blobs_under_way(url: str, ca_file: str | None = None) -> int | None:
    """The number of blob requests in progress, from the same page; None if it does not report it."""
    found = _IN_FLIGHT.findall(_page(url, ca_file).body.decode("utf-8", "replace"))
    return int(sum(float(value) for labels, value in found if 'handler="blob"' in labels)) if found else None


def _page(url: str, ca_file: str | None) -> Answer:
    parts = urlsplit(url)
    route = Route(registry="", url=f"{parts.scheme}://{parts.netloc}", ca_file=ca_file)
    with Exchanger(route, connect_timeout_s=5.0, read_timeout_s=10.0, exchange_timeout_s=10.0) as exchanger:
        answer = exchanger.send("GET", url, limit_bytes=_MAX_BYTES)
    if answer.status >= 300:
        raise answer.fault()
    return answer


def _read(answer: Answer) -> int:
    text = answer.body.decode("utf-8", "replace")
    try:
        if text.startswith("{"):
            return int(json.loads(text)["bytes"])
        found = [float(value) for labels, value in _SUM.findall(text) if 'handler="blob"' in labels]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = []
    if not found and "registry_http_" not in text:
        detail = "reports no served blob bytes (registry_http_response_size_bytes_sum): is it the metrics page?"
        raise answer.error_of(ErrorCode.NOT_A_REGISTRY, detail)
    return int(sum(found))  # the line is missing until the registry has served a blob
