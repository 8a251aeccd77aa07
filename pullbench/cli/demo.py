"""`demo`: measures the embedded lab."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Json, Prefect, Reports, Results

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer configurations and repetitions: half a minute.")
    ] = False,
    results: Results = "results",
    reports: Reports = Path("reports"),
    prefect: Prefect = False,
    as_json: Json = False,
) -> int:
    """Measure a built-in lab and report. No network, no Docker.

    The lab has registries in two regions and a proxy, all on this machine. The demo checks them, pulls, stores the results
    and writes a report: all that `pullbench run` does with a spec of yours.
    """
    from pullbench.app.run import RunRequest
    from pullbench.bench.specfile import as_yaml
    from pullbench.cli.measuring import measure_spec
    from pullbench.lab.embedded import EmbeddedLab

    with tempfile.TemporaryDirectory(prefix="pullbench-demo-") as folder, EmbeddedLab.start() as lab:
        spec = Path(folder) / "demo.yaml"
        spec.write_text(as_yaml(lab.spec(quick)), encoding="utf-8")
        request = RunRequest(spec=spec, results=results, reports=reports)
        return measure_spec(request, as_json=as_json, prefect=prefect)
