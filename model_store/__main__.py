"""`python -m model_store`: looking into a store, and the few changes that need no training."""

import argparse
import os
import sys
from pathlib import Path

from model_store.checkpoint import read_manifest
from model_store.copying import copy_models
from model_store.errors import StoreError
from model_store.files import refusal
from model_store.imports import import_model, importable
from model_store.shipped import SHIPPED
from model_store.store import ModelStore


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the process's exit status."""
    options = _parser().parse_args(arguments)
    store = ModelStore(options.store)
    try:
        if options.command == "list":
            return _list(store, check=options.check)
        if options.command == "import":
            imported = import_model(options.name, store)
            reference = imported.reference
            print(f"{reference.name} version {reference.version}: {reference.path}")
            for told in filter(None, (imported.told, store.told_default(reference))):
                print(f"  {told}")
        elif options.command == "copy":
            return _copy(ModelStore(options.source), store)
        elif options.command == "default":
            chosen = store.set_default(options.name)
            print(f"'{chosen.name}' answers now where a request names no model")
        else:
            named = store.set_alias(options.alias, options.name)
            print(f"'{options.alias}' is now another name of '{named.name}'")
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {refusal(error)}", file=sys.stderr)
        return 1
    return 0


def _list(store: ModelStore, *, check: bool) -> int:
    references = store.models()
    unreadable = store.unreadable()
    if not references and not unreadable:
        print(
            f"{store.root} holds no model; import one "
            f"({store.command('model_store', 'import', 'photos')}) or train one "
            f"({store.command('training', 'fit')})",
            file=sys.stderr,
        )
    _tell_misnamed(store)
    default = _default(store)
    status = 0
    for name in (reference.name for reference in references):
        answers = False
        # A service takes the first one that it can load.
        for version in reversed(store.versions(name)):
            try:
                manifest = (
                    store.load(name, version).manifest if check else store.inspect(name, version)
                )
            except StoreError as error:
                print(f"{name:<20} {version:>3}  unusable: {error}")
                status = 1 if check else 0
                continue
            mark = "  (default)" if name == default and not answers else ""
            answers = True
            print(
                f"{name:<20} {version:>3}  {manifest.metric}, "
                f"{manifest.dimension} values{mark}  {manifest.description}"
            )
    for name, why in unreadable.items():
        print(f"{name:<20}   ?  unusable: {why}")
        status = 1 if check else 0
    return status


def _default(store: ModelStore) -> str | None:
    """The model that answers by default, by its own name also where the index has an alias."""
    chosen = store.index().default
    if chosen is None:
        return None
    try:
        return store.resolve(chosen)
    except StoreError:
        # A folder that cannot be read has that name: no reason not to list the others.
        return chosen


def _copy(source: ModelStore, store: ModelStore) -> int:
    _tell_misnamed(source)
    status = 0
    for copied in copy_models(source, store):
        for reference in copied.references:
            print(f"{reference.name} version {reference.version}: {reference.path}")
        if copied.told:
            print(f"{copied.name}: {copied.told}")
        if copied.failed:
            status = 1
    return status


def _tell_misnamed(store: ModelStore) -> None:
    """Names the folders that are passed over though a model is in them."""
    for name in store.misnamed():
        folder = store.root / name
        print(
            f"{folder} holds a model and is passed over, as none can have that name; "
            f"{_advice_on_misnamed(store, folder)}",
            file=sys.stderr,
        )


def _advice_on_misnamed(store: ModelStore, folder: Path) -> str:
    try:
        newest = max(store.versions(folder.name), default=0)
        named = read_manifest(folder / str(newest)).name
    except (StoreError, OSError):
        return "to have it used, rename it to the name that its manifest.json gives"
    # Whatever lies there: a folder that is renamed to another goes into that. By the list, as some
    # systems find a folder by its name in capitals too.
    if named in (entry.name for entry in store.root.iterdir()):
        return (
            f"move it out of the store if it is a backup of {store.root / named} (to have it used "
            "in place of that, move that out, and rename this to it)"
        )
    return f"to have it used, rename it to {store.root / named}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_store",
        description="Inspect a model store, and make the changes that need no training.",
    )
    parser.set_defaults(store=Path(os.environ.get("TWINLENS_MODEL_STORE") or SHIPPED))
    # Before the command or after it; a default of the second would undo the first.
    where = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for taker in (parser, where):
        taker.add_argument(
            "--store",
            type=Path,
            metavar="DIR",
            default=argparse.SUPPRESS,
            help="the store's folder (default: $TWINLENS_MODEL_STORE, else the one shipped)",
        )
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        described = f"{summary[0].upper()}{summary[1:]}."
        return commands.add_parser(name, parents=[where], help=summary, description=described)

    listing = add("list", "what the store holds: every version, the newest first")
    listing.add_argument(
        "--check",
        action="store_true",
        help="load each version, which compares every file with its digest; the exit status is 1 "
        "if one is unusable",
    )
    importing = add("import", "bring in a model whose weights come in a package")
    importing.add_argument(
        "name",
        choices=importable(),
        help="photos: photographs in general (its package is always there); faces: people (its "
        "package is the extra 'faces')",
    )
    copying = add("copy", "put in what another store has and this one lacks; what is there stays")
    copying.add_argument("source", type=Path, metavar="DIR", help="the other store's folder")
    default = add("default", "choose the model that answers by default")
    default.add_argument("name", help="a model of the store, or an alias of it")
    alias = add("alias", "give a model a further name")
    alias.add_argument("alias", help="the further name")
    alias.add_argument("name", help="the model, or another alias of it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
