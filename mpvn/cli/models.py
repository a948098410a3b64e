"""`mpvn models`: list the published networks."""

import argparse
import inspect

from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.startup import import_tensorflow

EXAMPLES = """\
mpvn models
mpvn models --options
mpvn models --weights
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
    parser.add_argument(
        "--weights",
        action="store_true",
        help="list the published weights by name, which --weights and config.model.weights "
        "download, and where they are kept",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the list or the table."""
    import_tensorflow()
    if arguments.weights:
        _print_weights()
    elif arguments.table:
        _print_table()
    else:
        _print_list(arguments.options)
    return 0


def _print_weights() -> None:
    from mpvn.models.weights import WEIGHTS

    for name, weights in WEIGHTS.items():
        print(f"{name}: {weights.network}, {weights.classes} classes of {weights.data}")
        print(f"    {weights.address}")
        checked = f"SHA-256 begins with {weights.sha256}" if weights.sha256 else "not checked"
        kept = "on this machine" if weights.path.exists() else "not downloaded"
        print(f"    {checked}; {kept}: {weights.path}")


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
