"""Programs that scripts/setup unpacks instead of installing: scripts/lib/paths.sh says where they are."""

import functools
import os
import subprocess

from .errors import LabError

SOURCE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
_PATHS = os.path.join(SOURCE_ROOT, "scripts", "lib", "paths.sh")


@functools.cache
def path(variable):
    """The value of a variable of paths.sh."""
    script = f'. "$1" && printf %s "${variable}"'
    return subprocess.run(["bash", "-c", script, "bash", _PATHS], capture_output=True, text=True, check=True).stdout


def directory():
    return path("MESH_TOOLS")


def registry():
    program = path("MESH_REGISTRY")
    if not os.access(program, os.X_OK):
        raise LabError(f"there is no {program}: the lab's hosts would have nothing to pull from", "sudo scripts/setup")
    return program
