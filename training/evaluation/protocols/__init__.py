"""The protocols of `python -m training evaluate`, one module each."""
