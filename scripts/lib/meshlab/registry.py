"""A real image registry on the lab network, mirror of docker.io for every host."""

import os
import shutil
import socket
import time

from . import addresses, processes, registry_disk, toolbox
from .errors import LabError

_CONFIG = """version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: %s}
  delete: {enabled: true}
http: {addr: ":%d"}
"""


def _answers(lab):
    root = processes.path_in(lab, addresses.REGISTRY, "")
    with open(f"{root}/proc/1/net/tcp6") as file:
        listening = file.read()
    return f":{addresses.REGISTRY_PORT:04X} " in listening


def start(lab):
    """Starts the registry; the first lab after a change of the images also fills it."""
    registry = addresses.REGISTRY
    config = processes.path_in(lab, registry, "/etc/lab-registry.yml")
    with open(config, "w") as file:
        file.write(_CONFIG % (registry_disk.STORAGE, addresses.REGISTRY_PORT))
    processes.start_daemon(lab, registry, "registry", [toolbox.registry(), "serve", "/etc/lab-registry.yml"])


def await_ready(lab, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not _answers(lab):
        if processes.daemon_pid(lab, addresses.REGISTRY, "registry") is None or time.monotonic() > deadline:
            raise LabError("docker-registry did not come up:\n" +
                           processes.log_tail(lab, addresses.REGISTRY, "registry"))
        time.sleep(0.02)
    if registry_disk.image_files(lab.images_dir) and not registry_disk.overlays(lab):
        _fill(lab)


def _fill(lab):
    registry = addresses.REGISTRY
    for path in registry_disk.image_files(lab.images_dir):
        for name in registry_disk.names_in(path):
            target = f"docker://127.0.0.1:{addresses.REGISTRY_PORT}/{registry_disk.repository_of(name)}"
            processes.checked(lab, registry, ["skopeo", "copy", "--quiet", "--insecure-policy", "--preserve-digests",
                                              "--dest-tls-verify=false", registry_disk.source_of(path, name), target])
    registry_disk.keep(lab, os.path.join(processes.disk_of(lab, registry), registry_disk.STORAGE.lstrip("/")))
