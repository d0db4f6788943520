"""``hpc-connect``: what there is to run jobs with, and how it is set up.

    hpc-connect                      the backends and launchers there are
    hpc-connect config               what is configured, and where each value comes from

Each verb is a function from the parsed arguments to the exit code, added to the parser in :func:`_parser`.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, NoReturn

import hpc_connect
from hpc_connect import config
from hpc_connect.errors import HPCConnectError
from hpc_connect.plugins import backend_class, catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BAD_USAGE = 2


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for bad usage or a bad configuration."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except HPCConnectError as error:
        print(f"hpc-connect: {error}", file=sys.stderr)
        return BAD_USAGE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hpc-connect",
        description="What there is to run jobs and parallel programs with, and how it is set up.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"hpc_connect {hpc_connect.__version__}")
    _for_programs(parser)
    parser.set_defaults(run=list_plugins)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", prog="hpc-connect")

    verb = verbs.add_parser("list", help="the backends and launchers there are (the default)")
    _for_programs(verb)
    verb.set_defaults(run=list_plugins)

    verb = verbs.add_parser("config", help="what is configured, and where each value comes from")
    _for_programs(verb)
    verb.add_argument("--config-file", metavar="FILE", help="read FILE in place of the project's")
    verb.set_defaults(run=list_settings)
    return parser


def _for_programs(parser: argparse.ArgumentParser) -> None:
    # SUPPRESS: a verb's own parser must not undo what was said before the verb
    parser.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, for programs"
    )


def list_plugins(arguments: argparse.Namespace) -> int:
    """Print every backend and launcher: where it comes from, and whether it can be used here."""
    found = catalogue.everything()
    if "json" in arguments:
        fields = ("name", "kind", "origin", "usable", "reason")
        print(json.dumps([{field: getattr(info, field) for field in fields} for info in found], indent=2))
        return 0
    rows = [
        (info.name, info.kind, info.origin, f"no: {info.reason}" if info.reason else "yes") for info in found
    ]
    print(_aligned([("NAME", "KIND", "FROM", "USABLE HERE"), *rows]))
    return 0


def list_settings(arguments: argparse.Namespace) -> int:
    """Print every value that is configured, with its origin; then what is wrong with clusters, and fail."""
    settings = config.load(arguments.config_file)
    found = list(settings.settings())
    if "json" in arguments:
        fields = ("key", "value", "origin")
        print(json.dumps([dict(zip(fields, row, strict=True)) for row in found], indent=2, default=str))
    else:
        rows = [(key, json.dumps(value, default=str), origin) for key, value, origin in found]
        print(_aligned([("KEY", "VALUE", "FROM"), *rows]))
    problems = list(_problems(settings))
    for problem in problems:
        print(f"hpc-connect: {problem}", file=sys.stderr)
    return BAD_USAGE if problems else 0


def _problems(settings: config.Config) -> Iterator[HPCConnectError]:
    for name in settings.clusters():
        try:
            found, _ = backend_class(settings, name)
            settings.cluster(name, checks=getattr(found, "config_options", None))
        except HPCConnectError as error:
            yield error


def _aligned(rows: Iterable[Sequence[str]]) -> str:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
