"""`python -m app key create|list|revoke`."""

import argparse
import math
import os
import sys
from pathlib import Path

from app.exits import EXIT_USAGE
from app.security.keys import MAX_NAME, Scope, add_key, new_key, read_keys, revoke_key
from model_store.errors import TwinlensError


def main(arguments: list[str]) -> int:
    """Runs the command; returns the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m app key", description="API keys.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--file",
        type=Path,
        default=os.environ.get("TWINLENS_API_KEYS") or None,
        help="the file of keys; TWINLENS_API_KEYS if not given",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", parents=[common], help="create a key and show it once")
    create.add_argument("name", type=_name, help="owner of the key")
    create.add_argument(
        "--scope",
        choices=[scope.value for scope in Scope],
        default=Scope.READ.value,
        help="read: everything but /admin/; admin: that too (default: read)",
    )
    create.add_argument(
        "--images-per-second",
        type=_rate,
        metavar="N",
        help="how many it may send; 0 for no limit (default: as TWINLENS_RATE_LIMIT says)",
    )
    commands.add_parser("list", parents=[common], help="the keys there are")
    revoke = commands.add_parser("revoke", parents=[common], help="revoke a key, within a second")
    revoke.add_argument(
        "id", help="the part between the key's first two underscores, as `list` shows it"
    )
    chosen = parser.parse_args(arguments)
    if chosen.file is None:
        parser.error("name the file of keys: --file FILE, or TWINLENS_API_KEYS=FILE")
    try:
        _run(chosen)
    except TwinlensError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    return 0


def _name(text: str) -> str:
    if not 1 <= len(text) <= MAX_NAME:
        raise argparse.ArgumentTypeError(f"must have 1 to {MAX_NAME} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("must be in UTF-8, which this is not") from None
    return text


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 <= rate < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of 0 or more")
    return rate


def _run(chosen: argparse.Namespace) -> None:
    path: Path = chosen.file
    if chosen.command == "create":
        key, record = new_key(chosen.name, Scope(chosen.scope), chosen.images_per_second)
        add_key(path, record)
        print(key)
        print(f"This is shown once. {path} holds its digest only.", file=sys.stderr)
    elif chosen.command == "revoke":
        revoke_key(path, chosen.id)
    else:
        for record in read_keys(path):
            rate = record.images_per_second
            limit = "" if rate is None else f"{rate:g} images/s"
            print(f"{record.id}  {record.scope}  {record.created:%Y-%m-%d}  {record.name}  {limit}")
