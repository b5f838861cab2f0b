import traceback

from app.inference.traces import forget_traces


def test_an_error_and_all_that_led_to_it_lose_their_traces_and_nothing_else() -> None:
    try:
        try:
            try:
                _ = {}["context"]
            except KeyError as context:
                raise ValueError("cause") from context
        except ValueError as caught:
            cause = caught
            raise RuntimeError("error") from None
    except RuntimeError as caught:
        error = caught
    error.__cause__ = cause
    assert "".join(traceback.format_exception(error)).count("Traceback") == 3
    forget_traces(error)
    assert "".join(traceback.format_exception(error)).count("Traceback") == 0
    assert error.__cause__ is error.__context__ is cause
    cause.__context__.__context__ = error
    forget_traces(error)
