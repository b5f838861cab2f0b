"""What a command has left in a folder."""

from pathlib import Path


def found_in(folder: Path) -> dict[str, str]:
    """The text files of a folder, by their paths in it."""
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in folder.rglob("*")
        if file.is_file()
    }
