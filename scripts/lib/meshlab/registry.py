"""A real image registry on the lab network, mirror of docker.io for every host."""

from . import addresses, processes, registry_disk, toolbox
from .errors import LabError
from .waiting import wait_until

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
    registry = addresses.REGISTRY
    config = processes.path_in(lab, registry, "/etc/lab-registry.yml")
    with open(config, "w") as file:
        file.write(_CONFIG % (registry_disk.STORAGE, addresses.REGISTRY_PORT))
    processes.start_daemon(lab, registry, "registry", [toolbox.registry(), "serve", "/etc/lab-registry.yml"])


def await_ready(lab, timeout_s=10.0):
    def failed():
        return LabError("docker-registry did not come up:\n" + processes.log_tail(lab, addresses.REGISTRY, "registry"))

    def answers():
        if processes.daemon_pid(lab, addresses.REGISTRY, "registry") is None:
            raise failed()
        return _answers(lab)

    wait_until(answers, timeout_s, failed)
