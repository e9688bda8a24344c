"""`meshctl doctor` finds out whether the underlay carries direct answers: what a switch drops by its source is named."""

import harness
from cluster import ClusterTest

TABLE = "lab_sources"


class TestDirectAnswers(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_service("web", "image-gallery", running=1, options=("--publish", "8010:80", "--mesh-return", "dsr"))

    def doctor(self):
        return self.lab.run("node1", "meshctl", "doctor", check=False)

    def healthy(self):
        """The tables of the last change are on their way to the hosts, and the doctor names who is late."""
        return harness.wait_for(lambda: (lambda result: result if result.returncode == 0 else None)(self.doctor()), 20,
                                "no problem")

    def check_sources(self, *hosts):
        """The switch lets these hosts send in their own names only, until the end of the test."""
        rules = "".join(f"iifname p-{host} ether type ip ip saddr != {self.lab.address(host)} drop; " for host in hosts)
        self.lab.in_network("switch", "nft", f"table bridge {TABLE} {{ chain forward {{ type filter hook forward priority 0; "
                                             f"{rules} }}; }}")
        self.addCleanup(self.lab.in_network, "switch", "nft", "delete", "table", "bridge", TABLE)

    def test_nothing_is_dropped(self):
        # Sources that the hosts themselves check are not the underlay's doing.
        for host in self.lab.node_names():
            self.lab.run(host, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
            self.addCleanup(self.lab.run, host, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
        found = self.healthy()
        self.assertIn("the underlay between hosts carries them, 6 pairs probed", found.stdout)

    def test_what_the_switch_drops_is_named(self):
        self.healthy()
        self.check_sources("node2")
        found = self.doctor()
        self.assertEqual(found.returncode, 1, found.stdout)
        for other, to in (("node1", "node3"), ("node3", "node1")):
            self.assertIn(f"the underlay drops direct answers from node2: its packets with the address of {other} do not "
                          f"reach {to}; use --mesh-return tunnel", found.stdout)
        self.assertEqual(found.stdout.count("drops direct answers"), 2, found.stdout)

    def test_without_such_a_service_it_is_advice(self):
        self.lab.meshctl("node1", "service", "update", "-d", "--mesh-return", "", "web")
        self.addCleanup(self.lab.meshctl, "node1", "service", "update", "-d", "--mesh-return", "dsr", "web")
        self.check_sources("node3")
        found = self.healthy()
        self.assertIn("[advice]  the underlay drops direct answers from node3", found.stdout)


if __name__ == "__main__":
    harness.main()
