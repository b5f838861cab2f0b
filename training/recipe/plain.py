"""YAML as plain content, whatever somebody has written."""

import yaml

_TOO_DEEP = "its values are nested too deeply"


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
    """What a YAML document holds, None if it is empty.

    Args:
        text: The document; bytes in UTF-8, or in UTF-16 with its mark.

    Raises:
        ValueError: It is not YAML, or has values that are not what they are written as.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
