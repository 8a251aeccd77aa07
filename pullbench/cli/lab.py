"""`lab`: serves the embedded registries until Ctrl-C."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.terminal.safe_text import print_line, print_lines, print_notice
from pullbench.errors import UsageError

_HEADER = """\
# Measures the lab that wrote this file; it has other ports at its next start.
#   pullbench run {spec}
# After how many pulls does the mirror pay? One minute:
#   pullbench run {spec} --set 'matrix.registries=[us]' --set 'matrix.proxies=[direct,cache]' \
--set 'matrix.proxy_cache=[any,cold,warm]' --set 'matrix.platforms=[linux/amd64]' --set 'matrix.concurrency=[1]'
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def lab(
    spec_out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a spec that measures the lab.")] = None,
    slots: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Requests that a registry serves concurrently: a known capacity."),
    ] = None,
    service_ms: Annotated[
        float, typer.Option(metavar="MS", min=0, max=10_000, help="How long a registry takes for each request.")
    ] = 0.0,
) -> int:
    """Serve a lab until Ctrl-C: registries, a proxy, images.

    Its registries are in two regions, on this machine. The lab prints a spec that measures it.
    """
    from pullbench.bench.specfile import as_yaml
    from pullbench.lab.embedded import EmbeddedLab

    with EmbeddedLab.start(slots=slots, service_s=service_ms / 1000) as embedded:
        text = _HEADER.format(spec=spec_out or "FILE") + as_yaml(embedded.spec(False))
        if spec_out is None:
            print_lines(text)
        else:
            try:
                spec_out.write_text(text, encoding="utf-8")
            except OSError as error:
                raise UsageError(f"--spec-out {spec_out}: {error.strerror}") from error
            print_line(f"the lab is up; measure it: pullbench run {spec_out}")
        print_notice("Ctrl-C stops the lab")
        try:
            signal.pause()
        except KeyboardInterrupt:
            return 0
    return 0
