"""`demo`: the embedded lab measured."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Json, Prefect, Reports, Results

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer settings and repetitions: a look in half a minute.")
    ] = False,
    results: Results = "results",
    reports: Reports = Path("reports"),
    prefect: Prefect = False,
    as_json: Json = False,
) -> int:
    """Measure an embedded lab: two regions, a proxy, the whole pipeline, a report. No network, Docker or root."""
    from pullbench.app.run import RunRequest
    from pullbench.bench.specfile import as_yaml
    from pullbench.cli.measuring import measure_spec
    from pullbench.lab.embedded import EmbeddedLab

    with tempfile.TemporaryDirectory(prefix="pullbench-demo-") as folder, EmbeddedLab.start() as lab:
        spec = Path(folder) / "demo.yaml"
        spec.write_text(as_yaml(lab.spec(quick)), encoding="utf-8")
        request = RunRequest(spec=spec, results=results, reports=reports)
        return measure_spec(request, as_json=as_json, prefect=prefect)
