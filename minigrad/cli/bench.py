"""`minigrad bench [WHAT]`: measure minigrad beside NumPy, PyTorch and JAX on this machine."""

import argparse
import json

from minigrad.benchmarks import measure, report, suites
from minigrad.cli.arguments import UsageError, number, output_file
from minigrad.utils.optional import require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    names = ", ".join(suites.SUITES)
    add("what", choices=suites.SUITES, metavar="WHAT", nargs="?", default="losses", help=names)
    add("--quick", action="store_true", help="a few cells and rounds, to see that it works")
    add("--threads", type=number(int, 1, measure.cores()), help="for all alike (all cores)")
    add("--json", type=output_file, metavar="FILE", help="write every figure")
    add("--plot", type=output_file, metavar="FILE.png", help="draw the table")
    add("--write", action="store_true", help="put table and chart into README; from a checkout")


def run(options: argparse.Namespace) -> None:
    """Measure, print the table, and write the files asked for."""
    if options.write and options.quick:
        raise UsageError("--write stores the figures of a whole run: leave out --quick")
    if options.write and not (suites.ROOT / "pyproject.toml").is_file():
        raise UsageError("--write needs the source checkout: README is not installed")
    for package in ["tqdm", "threadpoolctl"] + ["matplotlib"] * bool(options.plot or options.write):
        require(package, "bench")
    found = suites.SUITES[options.what](options.threads or measure.cores(), options.quick)
    print(report.table(found))
    written = []
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
        written.append(options.json)
    if options.plot:
        report.chart(found, options.plot)
        written.append(options.plot)
    if options.write:
        written += report.write(found, suites.ROOT)
    for path in written:
        print(f"wrote {path}")
