"""The registry's disk: filled once from the example images, kept in the build directory, laid under every lab's.

Each lab sees the filled directory as the lower half of an overlay: it may push to its registry, other labs and later
runs never notice.
"""

import json
import os
import shutil
import subprocess

from . import state, toolbox
from .errors import LabError

STORAGE = "/var/lib/registry"
_EXAMPLES = os.path.join(toolbox.SOURCE_ROOT, "examples")


def _run(what, command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise LabError(f"{what} failed: {(result.stderr or result.stdout).strip()}", "scripts/build, then again")


def is_built(build_dir):
    return os.path.isdir(os.path.join(build_dir, "examples", "bin"))


def filled(build_dir):
    """Directory with a registry's storage that holds today's example images; filling it takes some seconds, once."""
    _run("building the example images", [os.path.join(_EXAMPLES, "build"), build_dir])
    with open(os.path.join(build_dir, "images", "index.json")) as file:
        version = json.load(file)["inputs"][:16]
    parent = os.path.join(build_dir, "lab-registry")
    storage = os.path.join(parent, version)
    if not os.path.isfile(os.path.join(storage, "examples.filled")):
        # In a network of its own: the registry that is filled listens on loopback for a moment.
        script = 'ip link set lo up && exec "$@"'
        fill = [os.path.join(_EXAMPLES, "registry-fill"), build_dir, storage]
        _run("filling the lab's registry", ["unshare", "--net", "sh", "-c", script, "sh", *fill])
    if not state.names():  # older fills may still lie under running labs
        for name in os.listdir(parent):
            if name != version:
                shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
    return storage


def overlays(lab):
    """[(lower, upper, work, mount point)] for the registry's file tree; none in a lab without images."""
    if not lab.registry_storage:
        return []
    own = os.path.join(lab.host_directory("registry"), "storage")
    return [(lab.registry_storage, os.path.join(own, "upper"), os.path.join(own, "work"), STORAGE)]
