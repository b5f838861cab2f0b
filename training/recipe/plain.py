"""YAML as plain content, whatever somebody has written."""

from collections.abc import Sequence

import yaml

_MOST_VALUES = 100_000
_DEEPEST = 50
_TOO_DEEP = "its values are nested too deeply"

_Measured = dict[yaml.Node, tuple[int, int]]


class _Loader(yaml.SafeLoader):
    """PyYAML's, which says of any value that is not what its form promises where that is."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:  # noqa: FBT001, FBT002
        try:
            made = super().construct_object(node, deep)
            # In hexadecimal a number may be longer than Python writes out in decimal.
            if isinstance(made, int):
                str(made)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as error:
            # Of a date, a number or a tag these are of all kinds (ValueError, KeyError,
            # AttributeError, OverflowError, …), and most of them speak of PyYAML's own workings.
            kind = node.tag.rpartition(":")[2]
            problem = f"a value cannot be read as {kind}; if it is text, put it in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error
        return made


def read_yaml(text: str | bytes) -> object:
    """What a YAML document holds, None if it is empty, its aliases each a copy of their own.

    Args:
        text: The document; bytes in UTF-8, or in UTF-16 with its mark.

    Raises:
        ValueError: It is not YAML, has values that are not what they are written as, or comes to
            too many or too deep ones with its aliases written out.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _measure(node, {})
            return _plain(loader.construct_document(node))
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _measure(node: yaml.Node, measured: _Measured) -> tuple[int, int]:
    """How many values a node comes to, and how deep, in time that does not grow with that.

    A few lines of aliases of aliases are billions of values. This is before any is made of the
    nodes, as merging keys (`<<`) alone writes them out.

    Raises:
        YAMLError: Too many or too deep.
    """
    if node in measured:
        return measured[node]
    # Until it is known: what has itself for an alias within has no end.
    measured[node] = (_MOST_VALUES, _DEEPEST)
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inner = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    within = [_measure(part, measured) for part in inner]
    count = 1 + sum(values for values, _ in within)
    depth = 1 + max((depth for _, depth in within), default=0)
    if count > _MOST_VALUES or depth > _DEEPEST:
        problem = _TOO_DEEP
        if count > _MOST_VALUES:
            problem = f"with its aliases written out it has more than {_MOST_VALUES:,} values"
        raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
    measured[node] = (count, depth)
    return count, depth


def _plain(value: object, *where: str) -> object:
    """A copy of texts that can be written, in which nothing stands in two places.

    YAML's aliases are one object in all theirs.

    Args:
        value: What YAML has made.
        *where: The keys that it is under.

    Raises:
        ValueError: A text has half of a character.
    """
    if isinstance(value, dict):
        return {_plain(key, *where): _plain(of, *where, str(key)) for key, of in value.items()}
    if isinstance(value, list):
        return [_plain(of, *where, str(position)) for position, of in enumerate(value)]
    return _joined(value, where) if isinstance(value, str) else value


def _joined(text: str, where: Sequence[str]) -> str:
    """A text with the halves joined in which JSON escapes what is not in the first 65,536."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError as error:
        at = ".".join(where)
        told = f"{at}: its text" if at else "the text"
        raise ValueError(
            f"{told} has an escaped half of a character (\\ud800 to \\udfff) without the other; "
            "write the character itself"
        ) from error
