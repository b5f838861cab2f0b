"""`python -m benchmarks.deployment` (`make deploy-check`): builds, ups, checks, downs.

Needs a Docker engine (25 or newer, with compose). Everything runs in a composition of its own, on a
free port of 127.0.0.1, and is taken down again whatever happens.
"""

import argparse
import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.deployment import checks
from benchmarks.deployment.checks import Result
from benchmarks.deployment.stack import CommandFailed, Stack
from model_store.cpus import available_cpus

_BEGIN, _END = "<!-- deploy-check: begin -->", "<!-- deploy-check: end -->"


async def check(rate: float, *, build: bool) -> list[Result]:
    """All checks, on a composition that is there for them only."""
    stack = Stack()
    results = []
    if build:
        began = time.perf_counter()
        await stack.compose("build", "app")
        took = f"{time.perf_counter() - began:.0f} s, with what the build cache had"
        results.append(Result("the image builds", holds=True, measured=took))
    try:
        began = time.perf_counter()
        await stack.scale(2)
        results.append(
            Result("comes up", holds=True, measured=f"{time.perf_counter() - began:.0f} s")
        )
        for each in checks.ALL:
            print(f"{each.__name__} …", file=sys.stderr)
            try:
                results += await each(stack, rate)
            except CommandFailed as error:
                print(error, file=sys.stderr)
                last = str(error).splitlines()[-1]
                results.append(Result(each.__name__, holds=False, measured=last))
    finally:
        await stack.down()
    return results


def table(results: list[Result], rate: float) -> str:
    """The results as Markdown, with when and where."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    title = (
        f"`make deploy-check`, {now}, {available_cpus()} CPUs for everything; steady load of "
        f"{rate:g} comparisons/s of two photos each, without cache:"
    )
    lines = [title, "", "| | | Measured |", "|---|---|---|"]
    lines += [f"| {'✓' if r.holds else '✗'} | {r.name} | {r.measured} |" for r in results]
    return "\n".join(lines) + "\n"


def write_into(file: Path, text: str) -> None:
    """Puts the text between the file's two marks.

    Raises:
        SystemExit: The marks are not there.
    """
    before, begin, rest = file.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        sys.exit(f"error: {file} lacks the lines {_BEGIN} and {_END}, between which results go")
    file.write_text(f"{before}{_BEGIN}\n{text}{_END}{after}")


def main() -> int:
    """Checks and tells; returns the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deployment", description=__doc__)
    parser.add_argument(
        "--rate", type=float, default=4.0, help="comparisons a second; well below what the CPUs can"
    )
    parser.add_argument("--no-build", action="store_true", help="take the image of the last check")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the results into that page")
    options = parser.parse_args()
    try:
        results = asyncio.run(check(options.rate, build=not options.no_build))
    except CommandFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    text = table(results, options.rate)
    print(text)
    if options.write is not None:
        write_into(options.write, text)
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
