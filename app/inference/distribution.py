"""Whether the images behind an answer are of the kind that the model knows."""


def in_distribution(level: float | None, *typicality: float | None) -> bool | None:
    """Whether all of some images are typical.

    Args:
        level: The least typicality that counts as in distribution; None where the model has none.
        typicality: Of each image; None for one that is not known.

    Returns:
        False if one is known not to be; else None if one is not known; else True.
    """
    if level is None or not typicality:
        return None
    if any(value is not None and value < level for value in typicality):
        return False
    return None if None in typicality else True
