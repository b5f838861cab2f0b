"""What a trial found."""

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """The figures of one trial and what they must be.

    Attributes:
        title: What was done.
        rows: What was measured, what it must be, and whether it is; None where nothing is demanded.
    """

    title: str
    rows: list[tuple[str, str, str, bool | None]] = field(default_factory=list)

    def add(self, what: str, found: object, demand: str = "", *, met: bool | None = None) -> None:
        """Adds a figure."""
        self.rows.append((what, str(found), demand, met))

    @property
    def passed(self) -> bool:
        """Whether every demand is met."""
        return all(met is not False for *_, met in self.rows)
