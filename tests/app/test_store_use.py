"""The service reads the store; what writes to it is for training and for commands."""

import ast
from pathlib import Path

import app


def test_the_service_has_no_name_for_what_writes_to_a_store() -> None:
    files = list(Path(app.__file__).parent.rglob("*.py"))
    assert len(files) > 50
    named = [
        (file.name, alias.name)
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "model_store"
        for alias in node.names
    ]
    assert ("loader.py", "Checkpoint") in named
    assert not [each for each in named if each[1] in ("ModelStore", "*")]
    # And not by the package's name, which nobody needs then.
    assert not [
        file.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Import)
        if any(alias.name == "model_store" for alias in node.names)
    ]
