"""`minigrad bench [WHAT]`: measure minigrad beside NumPy, PyTorch and JAX on this machine."""

import argparse
import json

from minigrad import devices
from minigrad.benchmarks import gpu, measure, report, suites
from minigrad.cli.arguments import UsageError, number, output_file
from minigrad.optional import require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    names = [*suites.SUITES, "gpu"]
    add("what", choices=names, metavar="WHAT", nargs="?", default="losses", help=", ".join(names))
    add("--quick", action="store_true", help="a few cells and rounds, to see that it works")
    add("--threads", type=number(int, 1, measure.cores()), help="for all alike (all cores)")
    add("--json", type=output_file, metavar="FILE", help="write every figure")
    add("--plot", type=output_file, metavar="FILE.png", help="draw the table")
    add("--write", action="store_true", help="put table and chart into README; from a checkout")
    add("--sanitize", action="store_true", help="gpu: run each kernel once, and nothing else")


def run(options: argparse.Namespace) -> None:
    """Measure, print the table, and write the files asked for."""
    if options.write and options.quick:
        raise UsageError("--write stores the figures of a whole run: leave out --quick")
    if options.write and not (suites.ROOT / "pyproject.toml").is_file():
        raise UsageError("--write needs the source checkout: README is not installed")
    if options.what == "gpu":
        return run_gpu(options)
    if options.sanitize:
        raise UsageError(f"--sanitize is for gpu, not for {options.what}")
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


def run_gpu(options: argparse.Namespace) -> None:
    """The same for the CUDA kernels. Without a GPU, --write stores what is known without one."""
    for name in ("threads", "json", "plot"):
        if getattr(options, name):
            raise UsageError(f"--{name} is not for gpu, whose report is text: leave it out")
    problem = devices.missing()
    if problem and (options.sanitize or not options.write):
        raise UsageError(problem, code=1)
    if options.sanitize:
        return gpu.every_kernel()
    path = suites.ROOT / "benchmarks" / "results" / "gpu.md"
    if problem and path.is_file() and gpu.NOT_YET not in path.read_text():
        raise UsageError(f"--write would replace a GPU's figures: {problem}", code=1)
    lines: list[str] = []

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    wrong = gpu.report(say, options.quick, gpu=not problem)
    if wrong:
        raise UsageError("; ".join(wrong), code=1)
    if options.write:
        text = "\n".join([*lines, ""])
        path.write_text(text)
        for written in (path, *report.quote("gpu", text, suites.ROOT)):
            print(f"wrote {written}{f', without figures: {problem}' if problem else ''}")
