"""Files of weights that packages of others bring."""

import importlib.util
from pathlib import Path

from model_store.errors import StoreError
from model_store.files import sha256_of


def package_file(package: str, path: str, sha256: str, *, install: str) -> Path:
    """Where a package has a file; its code is not run.

    Args:
        package: Its name, as pip knows it; its module has _ where that has -.
        path: Of the file in it.
        sha256: The file's digest, in hexadecimal.
        install: What installs the package, for the message.

    Raises:
        StoreError: The package is not installed, or its file is another than expected.
    """
    found = importlib.util.find_spec(package.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        raise StoreError(
            f"the package {package} is not installed; install it with {install} and try again"
        )
    file = Path(found.submodule_search_locations[0]) / path
    if not file.is_file() or sha256_of(file) != sha256:
        raise StoreError(f"{file} is missing or not the expected file; reinstall {package}")
    return file
