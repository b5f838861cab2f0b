"""What an error holds by its trace: every frame that it went through, and all that these know."""


def forget_traces(error: BaseException) -> None:
    """Takes the traces from an error that is kept, and from its causes and contexts.

    Args:
        error: An error whose traces nobody reads any more.
    """
    known = [error]
    for each in known:
        each.__traceback__ = None
        known += [
            other
            for other in (each.__cause__, each.__context__)
            if other is not None and other not in known
        ]
