"""Random programs of the kinds in tests/programs, for as long as one likes.

    python tests/scripts/try_programs.py --seconds 60            # each kind in turn, 60 s each
    python tests/scripts/try_programs.py views --seconds 600     # one kind
    python tests/scripts/try_programs.py views --only 1234       # one program again

A program that is wrong ends the run with a traceback, its text and the command that repeats it.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import programs


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", nargs="*", help=f"of {', '.join(programs.KINDS)}; default: all")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="per kind")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="number of the first")
    parser.add_argument("--only", type=int, metavar="N", help="this program alone")
    arguments = parser.parse_args()
    unknown = set(arguments.kind) - set(programs.KINDS)
    if unknown:
        parser.error(f"kind: expected some of {', '.join(programs.KINDS)}, got {unknown.pop()}")
    warnings.simplefilter("error")  # as in the suite
    for name in arguments.kind or programs.KINDS:
        if arguments.only is not None:
            programs.attempt(name, arguments.only)
            continue
        number, end = arguments.start, time.monotonic() + arguments.seconds
        while time.monotonic() < end:
            programs.attempt(name, number)
            number += 1
        print(f"{name}: programs {arguments.start} to {number - 1}, none of them wrong", flush=True)


if __name__ == "__main__":
    main()
