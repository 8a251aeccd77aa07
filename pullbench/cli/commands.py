"""The commands of the command line: the group of each, its line in the help, and examples. The one list of them.

Every line fits a terminal of 80 columns uncut, and is the first line of the command's own help. An example is shown in the
help of its command, and of its sub-command where it calls one.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What the help says about a command."""

    group: str
    line: str
    examples: Sequence[str]


GROUPS = ("Start", "Measure", "Inspect", "Automate", "Maintain")
"""In the order in which a newcomer meets them."""

COMMANDS: dict[str, Listed] = {
    "demo": Listed(
        group="Start",
        line="Measure a built-in lab and report. No network, no Docker.",
        examples=("pullbench demo --quick",),
    ),
    "pull": Listed(
        group="Start",
        line="Measure the pulls of one image, without a spec.",
        examples=(
            "pullbench pull nginx:1.27",
            "pullbench pull ghcr.io/team/app:1.4 --engine docker,wire -n 10 --report",
        ),
    ),
    "init": Listed(
        group="Start",
        line="Write a first spec from what is deployed, or a project.",
        examples=(
            "pullbench init --from compose.yaml",
            "kubectl get pods -o yaml | pullbench init --from -",
            "pullbench init --registry https://registry.example.com --image team/app:1.4",
        ),
    ),
    "lab": Listed(
        group="Start",
        line="Serve a lab until Ctrl-C: registries, a proxy, images.",
        examples=("pullbench lab --spec-out lab.yaml",),
    ),
    "preflight": Listed(
        group="Measure",
        line="Check registries, proxies, images and clients. No load.",
        examples=("pullbench preflight pullbench.yaml", "pullbench preflight pullbench.yaml --only network --all"),
    ),
    "plan": Listed(
        group="Measure",
        line="Show what a run will do: configurations, bytes, duration.",
        examples=("pullbench plan pullbench.yaml", "pullbench plan pullbench.yaml --set repetitions=10"),
    ),
    "run": Listed(
        group="Measure",
        line="Measure a spec: checks, pulls, results, report.",
        examples=(
            "pullbench run pullbench.yaml",
            "pullbench run pullbench.yaml --set 'matrix.concurrency=[1,4,16]'",
            "pullbench run pullbench.yaml --resume latest",
        ),
    ),
    "stress": Listed(
        group="Measure",
        line="Raise the load until an SLO is missed: how much is too much?",
        examples=(
            "pullbench stress pullbench.yaml",
            "pullbench stress pullbench.yaml --ramp rate --steps 5,10,20,40",
        ),
    ),
    "regional": Listed(
        group="Measure",
        line="Measure a spec from several vantages; write one report.",
        examples=("pullbench regional pullbench.yaml --vantage eu --vantage us",),
    ),
    "fleet": Listed(
        group="Measure",
        line="Measure many nodes that pull one image at the same time.",
        examples=("pullbench fleet pullbench.yaml --scheduler tcp://dask.example.com:8786 --nodes 200",),
    ),
    "runs": Listed(
        group="Inspect",
        line="List the stored runs, newest first, or remove old ones.",
        examples=("pullbench runs", "pullbench runs prune --keep 10"),
    ),
    "show": Listed(
        group="Inspect",
        line="Show the results of a stored run.",
        examples=("pullbench show latest", "pullbench show latest --json"),
    ),
    "report": Listed(
        group="Inspect",
        line="Write the report of a stored run: HTML, Markdown or JSON.",
        examples=("pullbench report latest", "pullbench report latest --format md"),
    ),
    "open": Listed(
        group="Inspect",
        line="Open a report in the browser.",
        examples=("pullbench open", "pullbench open nightly"),
    ),
    "compare": Listed(
        group="Inspect",
        line="Compare two stored runs: did it get worse?",
        examples=(
            "pullbench compare latest",
            "pullbench compare commit=3f4ff3c latest --fail-on regression",
        ),
    ),
    "baseline": Listed(
        group="Inspect",
        line="Choose the run that later runs are compared with.",
        examples=("pullbench baseline set latest", "pullbench baseline list", "pullbench baseline remove nightly"),
    ),
    "trend": Listed(
        group="Inspect",
        line="Show a benchmark over time: when did it change?",
        examples=("pullbench trend nightly --last 30",),
    ),
    "errors": Listed(
        group="Inspect",
        line="Explain an error code or a finding: causes, and what to do.",
        examples=("pullbench errors", "pullbench errors tls_untrusted tls-expires-soon"),
    ),
    "serve": Listed(
        group="Automate",
        line="Serve Prefect's UI, a worker and the reports until Ctrl-C.",
        examples=("pullbench serve", "pullbench serve --project pull-benchmarks"),
    ),
    "automations": Listed(
        group="Automate",
        line="Install alerts in Prefect: missed SLOs, failures, regressions.",
        examples=("pullbench automations install --notify slack-webhook/on-call",),
    ),
    "publish": Listed(
        group="Automate",
        line="Build a static site of all reports, with a feed.",
        examples=("pullbench publish --url https://reports.example.com/",),
    ),
    "metrics": Listed(
        group="Automate",
        line="Export the newest results to Prometheus.",
        examples=(
            "pullbench metrics serve --listen 127.0.0.1:9464",
            "pullbench metrics textfile /var/lib/node_exporter/pullbench.prom",
            "pullbench metrics push http://pushgateway.example.com:9091",
        ),
    ),
    "images": Listed(
        group="Maintain",
        line="Push synthetic images to a registry.",
        examples=("pullbench images push https://registry.example.com --size 2GB --spec-out synthetic.yaml",),
    ),
    "clean": Listed(
        group="Maintain",
        line="Remove what interrupted runs left behind.",
        examples=("pullbench clean", "pullbench clean --apply"),
    ),
    "prune": Listed(
        group="Maintain",
        line="Remove unused images from a Docker daemon.",
        examples=("pullbench prune --older-than 7d", "pullbench prune --older-than 7d --apply"),
    ),
    "calibrate": Listed(
        group="Maintain",
        line="Test pullbench itself: how far off are its results?",
        examples=("pullbench calibrate --quick",),
    ),
    "completion": Listed(
        group="Maintain",
        line="Print the completion script of a shell: bash, zsh or fish.",
        examples=(
            'eval "$(pullbench completion bash)"',
            "pullbench completion fish | source",
        ),
    ),
    "schema": Listed(
        group="Maintain",
        line="Print the JSON Schema of a spec, for editors and CI.",
        examples=("pullbench schema > spec.schema.json",),
    ),
}

FIRST_EXAMPLES = (
    "pullbench demo --quick                  see it work, on this machine alone",
    "pullbench pull nginx:1.27               measure one image",
    "pullbench init --from compose.yaml      write a spec for what you deploy",
    "pullbench run pullbench.yaml            measure it, and write a report",
)
"""What the help of `pullbench` itself shows."""


def examples_of(words: Sequence[str]) -> list[str]:
    """The examples that call a command, or a sub-command: `("metrics", "serve")`."""
    call = f"{' '.join(('pullbench', *words))} "
    return [example for example in COMMANDS[words[0]].examples if call in f"{example} "]
