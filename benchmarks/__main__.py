"""`python -m benchmarks`: how fast pullbench itself is, in one sitting of some minutes, compared with curl, crane, skopeo, docker.

Other benchmarks run only when their name is given.
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
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"run this instead of the sitting: {', '.join(OTHERS)}"
    )
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds; the table has their median (default 5)")
    parser.add_argument("--parquet", type=Path, metavar="FILE", help="default: results/benchmarks/TIME.parquet")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table to this file")
    parser.add_argument(
        "--page", action="store_true", help="put the table into docs/benchmarks.md, between its markers"
    )
    parser.add_argument("--no-report", action="store_true", help="skip the report of pullbench about itself")
    given = parser.parse_args()
    unknown = set(given.names) - set(OTHERS)
    if unknown or given.rounds < 1:
        parser.error(f"there are: {', '.join(OTHERS)}; --rounds is at least 1")
    for name in given.names:
        OTHERS[name](given.rounds)
    if not given.names:
        speed.sit(given.rounds, given.parquet, given.markdown, page=given.page, report=not given.no_report)


if __name__ == "__main__":
    main()
