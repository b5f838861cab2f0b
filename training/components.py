"""Building a part of a recipe, a loss or a sampler, from its name and options."""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from training.errors import RecipeError

T = TypeVar("T")


class Component(BaseModel):
    """A part of a recipe that is chosen by name.

    Attributes:
        name: Its name in the table of its kind.
        options: Keyword arguments for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    options: dict[str, JsonValue] = {}


def check(table: Mapping[str, Callable[..., T]], kind: str, component: Component) -> None:
    """Refuses a name that is not in the table, or an option that the part does not have.

    Args:
        table: Name → what builds it.
        kind: What the table holds, for messages.
        component: The recipe's choice.

    Raises:
        RecipeError: With the names or options there are.
    """
    if component.name not in table:
        raise RecipeError(
            f"no {kind} is called '{component.name}'; choose one of {', '.join(sorted(table))}"
        )
    known = [
        name
        for name, parameter in inspect.signature(table[component.name]).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for option in component.options:
        if option not in known:
            raise RecipeError(
                f"{kind} '{component.name}' has no option '{option}' "
                f"(it has: {', '.join(known) or 'none'})"
            )


def build(
    table: Mapping[str, Callable[..., T]], kind: str, component: Component, *arguments: object
) -> T:
    """Builds the part of that name with its options.

    Args:
        table: Name → what builds it.
        kind: What the table holds, for messages.
        component: The recipe's choice.
        *arguments: What every part of the kind is built from, before its options.

    Raises:
        RecipeError: As `check`; or an option's value is refused.
    """
    check(table, kind, component)
    try:
        return table[component.name](*arguments, **component.options)
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"{kind} '{component.name}' cannot be built with {component.options}: {error}"
        ) from error
