"""`lab`: the embedded registries, until Ctrl-C."""

import signal
from pathlib import Path

from pullbench.bench.specfile import as_yaml
from pullbench.cli.terminal.safe_text import say, tell, tell_document
from pullbench.errors import UsageError
from pullbench.lab.embedded import World


def serve_lab(spec_out: Path | None, *, slots: int | None = None, service_ms: float = 0.0) -> int:
    """Serve until SIGINT or SIGTERM, which are the way to end it: exit 0."""
    with World.start(slots=slots, service_s=service_ms / 1000) as world:
        text = as_yaml(world.spec(False))
        if spec_out is None:
            tell_document(text)
        else:
            try:
                spec_out.write_text(text, encoding="utf-8")
            except OSError as error:
                raise UsageError(f"--spec-out {spec_out}: {error.strerror}") from error
            tell(f"the lab is up; measure it with: pullbench run {spec_out}")
        say("Ctrl-C ends it")
        try:
            signal.pause()
        except KeyboardInterrupt:
            return 0
    return 0
