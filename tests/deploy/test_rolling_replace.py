"""The script that replaces replicas, with a `docker` that only keeps a list of containers.

An engine is not to be had where tests run; `make deploy-check` runs the script with a real one.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.tools import DEPLOY

SCRIPT = DEPLOY / "rolling-replace"

# What `docker` and `docker compose` (2.26) do, as far as the script asks them: `up --no-recreate`
# first starts what has ended, whatever it was made of, and then makes what is still missing; of
# what is not set, `config` prints `null` and a container's environment has the bare name.
DOCKER = """
import json, os, pathlib, sys

file = pathlib.Path(os.environ["STATE"])
state = json.loads(file.read_text())
containers = state["containers"]
words = sys.argv[1:]
options = {word for word in words if word.startswith("--")}

def compose():
    files = [word for before, word in zip(words, words[1:]) if before == "-f"] or ["plain.yml"]
    if words[-1] == "balancer":
        if "ps" in words:
            print("\\n".join(state["balancer"]))
        else:
            print("      TWINLENS_BALANCER_TIMEOUT: null")
            for name, value in state["settings"].items():
                print(f'      {name}: "{value}"')
    elif "ps" in words:
        wanted = [word for before, word in zip(words, words[1:]) if before == "--status"]
        for name, each in containers.items():
            if each["status"] in wanted if wanted else "--all" in options or runs(each):
                print(name)
    elif "up" in words:
        for each in containers.values():
            each["status"] = "running"
        scale = int(words[words.index("--scale") + 1].removeprefix("app="))
        while len(containers) < scale:
            state["made"] += 1
            new = {"status": "running", "health": state["becomes"], "files": ",".join(files)}
            containers[f"new{state['made']}"] = new
        if "--wait" in options and any(each["health"] != "healthy" for each in containers.values()):
            return 1

def runs(container):
    return container["status"] == "running"

code = 0
if words[0] == "compose":
    code = compose()
elif words[0] == "inspect" and words[-1] in state["balancer"]:
    print("PATH=/bin", "TWINLENS_BALANCER_TIMEOUT", *state["balancer"][words[-1]], sep="\\n")
elif words[0] == "inspect":
    each = containers[words[-1]]
    about_files = "config_files" in words[2]
    print(each["files"] if about_files else f"{each['status']}, {each['health']}, started anew: 0")
elif words[0] == "stop":
    containers[words[-1]]["status"] = "exited"
elif words[0] == "rm":
    for name in words[1:]:
        if not name.startswith("--"):
            code = 1 if runs(containers[name]) and "--force" not in options else code
            del containers[name]
file.write_text(json.dumps(state))
sys.exit(code)
"""


@dataclass
class Outcome:
    status: int
    replicas: dict[str, dict[str, str]]
    errors: str


@pytest.fixture
def replace(tmp_path: Path):
    """Runs the script on replicas that are given by name, status, health and files.

    A balancer runs if there is given what it has in its environment; its settings are now others.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").write_text(f"#!{sys.executable} -SE\n{DOCKER}")
    (programs / "sleep").write_text("#!/bin/sh\n")
    for program in programs.iterdir():
        program.chmod(0o755)

    def run(
        *arguments: str,
        becomes: str = "healthy",
        balancer: list[str] | None = None,
        settings: dict[str, str] | None = None,
        **replicas: str,
    ) -> Outcome:
        keys = ("status", "health", "files")
        containers = {
            name: dict(zip(keys, words.split(), strict=True)) for name, words in replicas.items()
        }
        file = tmp_path / "state.json"
        state = {
            "made": 0,
            "becomes": becomes,
            "containers": containers,
            "balancer": {} if balancer is None else {"b1": balancer},
            "settings": settings or {},
        }
        file.write_text(json.dumps(state))
        done = subprocess.run(
            [SCRIPT, *arguments],
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "STATE": str(file)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Outcome(done.returncode, json.loads(file.read_text())["containers"], done.stderr)

    return run


def test_every_replica_is_replaced_by_a_new_one_also_one_that_is_ill(replace):
    outcome = replace(a="running unhealthy plain.yml", b="running healthy plain.yml")
    assert outcome.status == 0, outcome.errors
    assert set(outcome.replicas) == {"new1", "new2"}


def test_one_that_was_killed_by_hand_is_replaced_by_a_new_one_and_not_started(replace):
    outcome = replace(a="exited healthy plain.yml", b="running healthy plain.yml")
    assert outcome.status == 0, outcome.errors
    assert set(outcome.replicas) == {"new1", "new2"}


def test_where_new_ones_do_not_become_ready_the_old_ones_stay_and_no_other(replace):
    outcome = replace(becomes="unhealthy", a="running healthy plain.yml")
    assert outcome.status == 1
    assert set(outcome.replicas) == {"a"}
    assert "does not become ready" in outcome.errors


def test_what_was_begun_with_other_files_is_replaced_with_those_only(replace):
    refused = replace(a="running healthy plain.yml,gpu.yml")
    assert refused.status == 1
    assert set(refused.replicas) == {"a"}
    assert "plain.yml,gpu.yml" in refused.errors
    outcome = replace("-f", "plain.yml", "-f", "gpu.yml", a="running healthy plain.yml,gpu.yml")
    assert outcome.status == 0, outcome.errors
    assert outcome.replicas["new1"]["files"] == "plain.yml,gpu.yml"


def test_where_nothing_runs_it_says_how_to_begin(replace):
    outcome = replace(a="exited healthy plain.yml")
    assert outcome.status == 1
    assert "docker compose up --wait" in outcome.errors
    assert set(outcome.replicas) == {"a"}


@pytest.mark.parametrize(
    ("has", "settings", "noted"),
    [
        ([], {}, False),
        (["TWINLENS_MAX_BODY_BYTES=9", "HAPROXY=2"], {"TWINLENS_MAX_BODY_BYTES": "9"}, False),
        (["TWINLENS_MAX_BODY_BYTES=9"], {"TWINLENS_MAX_BODY_BYTES": "10"}, True),
        (["TWINLENS_MAX_BODY_BYTES=9"], {}, True),
        ([], {"TWINLENS_BALANCER_TIMEOUT": "60"}, True),
    ],
)
def test_a_balancer_that_goes_on_with_old_settings_is_noted(replace, has, settings, noted):
    words = ("-f", "plain.yml")
    outcome = replace(*words, balancer=has, settings=settings, a="running healthy plain.yml")
    assert outcome.status == 0, outcome.errors
    command = "docker compose -f plain.yml up --detach --no-deps balancer"
    assert (command in outcome.errors) is noted
