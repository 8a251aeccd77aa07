"""Properties are tried on the same examples each time, and never against the clock of a busy machine."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "pullbench",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pullbench")
