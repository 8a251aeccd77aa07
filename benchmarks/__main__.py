"""`python -m benchmarks [NAME …] [--rounds N]`: run every benchmark, or the named ones, and print their tables."""

import argparse

from benchmarks import debian, overhead, preflight, report_speed, truth, watching, wire

BENCHMARKS = {
    "wire": wire.run,
    "overhead": overhead.run,
    "debian": debian.run,
    "truth": truth.run,
    "preflight": preflight.run,
    "report": report_speed.run,
    "watching": watching.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}; default all")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds; medians are printed")
    given = parser.parse_args()
    unknown = set(given.names) - set(BENCHMARKS)
    if unknown or given.rounds < 1:
        parser.error(f"there are: {', '.join(BENCHMARKS)}; --rounds is at least 1")
    for name in given.names or BENCHMARKS:
        BENCHMARKS[name](given.rounds)


if __name__ == "__main__":
    main()
