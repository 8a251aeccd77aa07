"""`python -m benchmarks`: how fast pullbench itself is, in one sitting of some minutes beside curl, crane, skopeo and docker.

Other benchmarks have names, and are run only when they are named.
"""

import argparse
from pathlib import Path

from benchmarks import debian, preflight, report_speed, speed, truth, watching

OTHERS = {
    "debian": debian.run,
    "truth": truth.run,
    "preflight": preflight.run,
    "report": report_speed.run,
    "watching": watching.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"in place of the sitting: {', '.join(OTHERS)}")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds; medians count (default 5)")
    parser.add_argument("--parquet", type=Path, metavar="FILE", help="default: results/benchmarks/TIME.parquet")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md, between its markers")
    parser.add_argument("--no-report", action="store_true", help="without the run of pullbench about itself")
    given = parser.parse_args()
    unknown = set(given.names) - set(OTHERS)
    if unknown or given.rounds < 1:
        parser.error(f"there are: {', '.join(OTHERS)}; --rounds is at least 1")
    for name in given.names:
        OTHERS[name](given.rounds)
    if not given.names:
        speed.sit(given.rounds, given.parquet, given.markdown, readme=given.readme, report=not given.no_report)


if __name__ == "__main__":
    main()
