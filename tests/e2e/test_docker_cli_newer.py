"""Whatever docker client the machine itself has, too, when it has one: newer than Debian's, it asks for a newer API."""

import shutil
import unittest

import harness
from cluster import ClusterTest

DOCKER = shutil.which("docker")


@unittest.skipUnless(DOCKER, "no docker client is installed on this machine")
class TestSystemDocker(ClusterTest):
    nodes = 1

    def test_newer_client(self):
        self.assertIn("node1", self.lab.run("node1", DOCKER, "node", "ls").stdout)


if __name__ == "__main__":
    harness.main()
