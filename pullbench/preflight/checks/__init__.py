"""All checks, in the order in which findings are shown."""

from typing import Any

from pullbench.preflight.check import Check
from pullbench.preflight.checks import (
    api,
    auth,
    catalog,
    clock,
    credentials,
    dns,
    docker_daemon,
    dockerfile,
    http2,
    image,
    latency,
    layer_reuse,
    local_cache,
    local_disk,
    platform,
    proxy,
    rate_limit,
    referrers,
    resolver,
    storage_quota,
    tag_consistency,
    tcp,
    tls,
)
from pullbench.preflight.checks import range as byte_range

CHECKS: tuple[Check[Any, Any], ...] = (
    dns.CHECK,
    tcp.CHECK,
    tls.CHECK,
    api.CHECK,
    latency.CHECK,
    http2.CHECK,
    credentials.CHECK,
    auth.CHECK,
    image.CHECK,
    platform.CHECK,
    tag_consistency.CHECK,
    catalog.CHECK,
    byte_range.CHECK,
    rate_limit.CHECK,
    layer_reuse.CHECK,
    referrers.CHECK,
    proxy.CHECK,
    storage_quota.CHECK,
    docker_daemon.CHECK,
    local_disk.CHECK,
    local_cache.CHECK,
    resolver.CHECK,
    clock.CHECK,
    dockerfile.CHECK,
)
