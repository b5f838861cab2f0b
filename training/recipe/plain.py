"""YAML as plain content, whatever somebody has written."""

import yaml

_MOST_VALUES = 100_000
_DEEPEST = 50
_TOO_DEEP = "its values are nested too deeply"

_Measured = dict[yaml.Node, tuple[int, int]]


class _Loader(yaml.SafeLoader):
    """PyYAML's, which says of any value that is not what its form promises where that is."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:  # noqa: FBT001, FBT002
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as error:
            # Of a date, a number or a tag these are of all kinds (ValueError, KeyError,
            # AttributeError, OverflowError, …), and most of them speak of PyYAML's own workings.
            kind = node.tag.rpartition(":")[2]
            problem = f"a value cannot be read as {kind}; if it is text, put it in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


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
            return _unshared(loader.construct_document(node))
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


def _unshared(value: object) -> object:
    """A copy in which nothing stands in two places: YAML's aliases are one object in all theirs."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value
