"""`mpvn models`: list the published networks."""

import argparse
import inspect

from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.startup import import_tensorflow

EXAMPLES = """\
mpvn models
mpvn models --options
mpvn models --table > networks.md"""


def add_parser(commands: Commands) -> None:
    """Add `mpvn models`."""
    parser = add_command(commands, "models", run, "list the published networks", EXAMPLES)
    parser.add_argument(
        "--options", action="store_true", help="also list the names and defaults for --option"
    )
    parser.add_argument(
        "--table", action="store_true", help="print their sizes, costs and latencies as Markdown"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the list or the table."""
    import_tensorflow()
    if arguments.table:
        _print_table()
    else:
        _print_list(arguments.options)
    return 0


def _print_table() -> None:
    import tqdm

    from mpvn.report.networks import published_table

    print(published_table(lambda rows: tqdm.tqdm(list(rows), unit="network")), end="")


def _print_list(with_options: bool) -> None:
    from mpvn.models import PUBLISHED

    for name, architecture in PUBLISHED.items():
        counts = ", ".join(map(str, architecture.subnetworks))
        print(f"{name:<22} {architecture.paper}; subnetworks: {counts}")
        if with_options:
            for option in inspect.signature(architecture.build).parameters.values():
                if option.name not in ("input_shape", "name", "options"):
                    print(f"    {option.name} = {option.default!r}")
