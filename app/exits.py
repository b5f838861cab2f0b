"""Exit statuses, where a process that imports next to nothing can name them too."""

EXIT_FORCED = 1
"""After a second signal."""

EXIT_USAGE = 2
"""What was asked for cannot be, such as a wrong setting; a message on standard error says why."""

EXIT_BROKEN = 70
"""Of a service that could not be mended (`EX_SOFTWARE` of sysexits)."""
