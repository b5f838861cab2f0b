"""Building a part of a recipe, a loss or a sampler, from its name and options."""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from training.errors import RecipeError

T = TypeVar("T")

_FINITE = ConfigDict(allow_inf_nan=False)


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
    """Refuses a name that is not in the table, and an option or value that the part cannot have.

    Args:
        table: Name → what builds it.
        kind: What the table holds, for messages.
        component: The recipe's choice.

    Raises:
        RecipeError: With the names, options or values there are.
    """
    _options(table, kind, component)


def _options(
    table: Mapping[str, Callable[..., T]], kind: str, component: Component
) -> dict[str, object]:
    """The options, each of the type that its part declares: 3.0 as 3 where it counts something."""
    if component.name not in table:
        raise RecipeError(
            f"no {kind} is called '{component.name}'; choose one of {', '.join(sorted(table))}"
        )
    known = {
        name: parameter.annotation
        for name, parameter in inspect.signature(table[component.name]).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    options: dict[str, object] = {}
    for option, value in component.options.items():
        if option not in known:
            raise RecipeError(
                f"{kind} '{component.name}' has no option '{option}' "
                f"(it has: {', '.join(known) or 'none'})"
            )
        adapter = TypeAdapter[object](known[option], config=_FINITE)
        try:
            options[option] = adapter.validate_python(value)
        except ValidationError as error:
            raise RecipeError(
                f"{kind} '{component.name}': its option '{option}' cannot be {value!r}: "
                f"{error.errors()[0]['msg']}"
            ) from error
    return options


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
    options = _options(table, kind, component)
    try:
        return table[component.name](*arguments, **options)
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"{kind} '{component.name}' cannot be built with {component.options}: {error}"
        ) from error
