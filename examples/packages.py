"""Where the Debian packages are that the images and the registry need, unpacked and not installed.

scripts/setup unpacks them (an installed docker-registry or nginx would start a service on the machine);
scripts/lib/paths.sh knows where.
"""

import os
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def packages_directory():
    command = ["bash", "-c", '. "$1" && printf %s "$MESH_TOOLS"', "bash", os.path.join(ROOT, "scripts/lib/paths.sh")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def unpacked(name):
    directory = os.path.join(packages_directory(), name)
    if not os.path.isdir(directory):
        raise SystemExit(f"{directory}: package {name} is not unpacked there; run scripts/setup")
    return directory


def docker_registry():
    return os.path.join(unpacked("docker-registry"), "usr/bin/docker-registry")


def busybox():
    path = shutil.which("busybox")
    if path is None:
        raise SystemExit("busybox is missing; run scripts/setup (package busybox-static)")
    return path
