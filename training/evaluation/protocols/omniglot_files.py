"""Lake's one-shot runs, in the files he published them in.

`all_runs` of github.com/brendenlake/omniglot (python/one-shot-classification): folders `run01` to
`run20`, each with `class_labels.txt`, whose lines name a test image and the training image of its
class: `run01/test/item01.png run01/training/class03.png`.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from training.data.sources import Source, open_source
from training.errors import DataError

LABELS = "class_labels.txt"


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: Of its folder.
        queries: Keys of the test images.
        answers: Keys of the training images of their classes, in the same order.
    """

    name: str
    queries: tuple[str, ...]
    answers: tuple[str, ...]

    @property
    def candidates(self) -> tuple[str, ...]:
        """The training images, each once."""
        return tuple(sorted(set(self.answers)))


def open_runs(path: Path) -> tuple[Source, list[Run]]:
    """Finds the runs in a folder or a zip archive.

    Raises:
        DataError: There is none, or a `class_labels.txt` is not in the expected form.
    """
    source = open_source(path)
    found = [PurePosixPath(key) for key in source.listing().files]
    labels = [key for key in found if key.name == LABELS and len(key.parts) > 1]
    if not labels:
        raise DataError(
            f"{path} holds no run01/{LABELS}; give the folder all_runs of Lake's one-shot "
            "classification, or a zip of it"
        )
    return source, [_read_run(source, key) for key in labels]


def _read_run(source: Source, key: PurePosixPath) -> Run:
    where = f"{source.path / key}"
    # Paths in the file begin at the folder that holds the runs.
    base = key.parent.parent
    queries, answers = [], []
    try:
        lines = source.read(str(key)).decode().splitlines()
    except (DataError, UnicodeDecodeError) as error:
        raise DataError(f"{where}: {error}; fetch the runs again") from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or any({"..", "/"} & {*PurePosixPath(word).parts} for word in words):
            raise DataError(
                f"{where}, line {number}: expected 'run01/test/item01.png "
                f"run01/training/class01.png', found '{line}'"
            )
        queries.append(str(base / words[0]))
        answers.append(str(base / words[1]))
    if len(set(answers)) < 2:
        raise DataError(f"{where} names fewer than two training images; fetch the runs again")
    return Run(key.parent.name, tuple(queries), tuple(answers))
