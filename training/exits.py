"""The exit status, where a process that has imported nothing yet can name it too."""

EXIT_INTERRUPTED = 130
"""After Ctrl-C or SIGTERM, as shells have it: 128 and the number of SIGINT."""
