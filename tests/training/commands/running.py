"""Commands as they are typed."""

from training.cli import main


def run(store, *words):
    return main([*map(str, words), "--store", str(store.root), "--device", "cpu"])
