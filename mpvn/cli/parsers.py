"""The parser of one command: help text, examples, and the function to run."""

import argparse
from collections.abc import Callable
from fractions import Fraction
from typing import TypeAlias

from mpvn.cli.paths import declare_paths

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    examples: str,
) -> argparse.ArgumentParser:
    """Add the command `name` and return its parser.

    Args:
        commands: The subparsers of `mpvn`.
        name: Name of the command.
        run: Runs the command from its parsed arguments and returns the exit code.
        summary: One line for the list of commands, in lower case.
        examples: Command lines for the end of the help text, separated by newlines.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog="examples:\n" + "".join(f"  {line}\n" for line in examples.splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command_function=run)
    declare_paths(parser, writes={})
    return parser


def rate(text: str) -> float | Fraction:
    """Return the number that `text` states, such as 29.97 or 30000/1001.

    Raises:
        ValueError: It states none.
    """
    numerator, slash, denominator = text.partition("/")
    if not slash:
        return float(text)
    if not int(denominator):
        raise ValueError(text)
    return Fraction(int(numerator), int(denominator))


def percentage(text: str) -> float:
    """Return the number that `text` states, above 0 and at most 100.

    Raises:
        ValueError: It states none.
    """
    number = float(text)
    if not 0 < number <= 100:
        raise ValueError(text)
    return number
