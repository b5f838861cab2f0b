"""`python -m model_store`: looking into a store, and the few changes that need no training."""

import argparse
import os
import sys
from pathlib import Path

from model_store.errors import StoreError
from model_store.imports import import_model, importable
from model_store.store import SHIPPED, ModelStore


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the process's exit status."""
    options = _parser().parse_args(arguments)
    store = ModelStore(options.store)
    try:
        if options.command == "list":
            _list(store)
        elif options.command == "import":
            reference = import_model(options.name, store)
            print(f"{reference.name} version {reference.version}: {reference.path}")
        elif options.command == "default":
            store.set_default(options.name)
        else:
            store.set_alias(options.alias, options.name)
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _list(store: ModelStore) -> None:
    default = store.index().default
    for reference in store.models():
        try:
            manifest = store.manifest(reference.name)
        except StoreError as error:
            print(f"{reference.name:<20} {reference.version:>3}  unusable: {error}")
            continue
        mark = "  (default)" if reference.name == default else ""
        print(
            f"{manifest.name:<20} {manifest.version:>3}  {manifest.metric}, "
            f"{manifest.dimension} values{mark}  {manifest.description}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model_store", description=__doc__)
    parser.add_argument(
        "--store",
        type=Path,
        default=Path(os.environ.get("TWINLENS_MODEL_STORE") or SHIPPED),
        help="the store's folder (default: $TWINLENS_MODEL_STORE, else the one shipped)",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what the store holds")
    importing = commands.add_parser(
        "import", help="bring in a model whose weights come in a package"
    )
    importing.add_argument("name", choices=importable())
    default = commands.add_parser("default", help="choose the model that answers by default")
    default.add_argument("name")
    alias = commands.add_parser("alias", help="give a model a further name")
    alias.add_argument("alias")
    alias.add_argument("name")
    return parser


if __name__ == "__main__":
    sys.exit(main())
