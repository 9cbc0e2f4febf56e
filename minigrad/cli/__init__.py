"""The commands: each is a module with `add_arguments(parser)` and `run(options)`."""

import sys
from collections.abc import Sequence

from minigrad.cli import bench, info, scalar_demo, train, warmup
from minigrad.cli.arguments import Parser, UsageError

COMMANDS = {
    "train": train,
    "scalar-demo": scalar_demo,
    "bench": bench,
    "warmup": warmup,
    "info": info,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv`, by default that of the process; return its exit code.

    0; 2 after one sentence on stderr if an argument, a file, a missing package or a loss that is
    no number stops it; 130 after Ctrl-C, 143 after a SIGTERM that let it save first.
    """
    parser = Parser(prog="minigrad", description="A minimal tensor with automatic gradients.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        summary = str(module.__doc__).partition(": ")[2].strip()
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    try:
        options = parser.parse_args(argv)
        options.run(options)
    except (UsageError, ModuleNotFoundError, OSError) as error:
        print(f"minigrad: {error}", file=sys.stderr)
        return getattr(error, "code", 2)
    except KeyboardInterrupt:
        print("minigrad: interrupted", file=sys.stderr)
        return 130
    return 0
