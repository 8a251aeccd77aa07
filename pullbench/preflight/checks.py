"""Every check there is, in the order in which findings are shown."""

from typing import Any

from pullbench.preflight import api, auth, dns, image, platform, tcp, tls
from pullbench.preflight.check import Check

CHECKS: tuple[Check[Any, Any], ...] = (
    dns.CHECK,
    tcp.CHECK,
    tls.CHECK,
    api.CHECK,
    auth.CHECK,
    image.CHECK,
    platform.CHECK,
)
