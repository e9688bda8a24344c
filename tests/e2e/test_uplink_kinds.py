"""Uplinks that are no plain interface: a VLAN device, a bond. They need a kernel that has them; scripts/test-kernels
shows the same in a virtual machine, whose kernels do."""

import harness
from test_uplinks import SECOND, UplinkTest, with_prefix

NAME = "second"


class KindTest(UplinkTest):
    options = ("--uplink", f"eth0,{NAME}")

    def need(self, kind, *more):
        """A device of the kind on node1's second wire, with its address."""
        made = self.lab.run("node1", "ip", "link", "add", *more, NAME, "type", *kind, check=False)
        if made.returncode != 0 and "Unknown device type" in made.stderr:
            self.skipTest(f"this kernel has no device of type {kind[0]}")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.addCleanup(self.lab.run, "node1", "ip", "link", "del", NAME)

    def set_up(self, host, interface, address_of):
        for address in with_prefix(address_of):
            self.lab.run(host, "ip", "address", "add", address, "dev", interface, *(["nodad"] if ":" in address else []))
        self.lab.run(host, "ip", "link", "set", interface, "up")


class TestVlan(KindTest):
    def test_it_answers_by_tc(self):
        if self.lab.uplink_mode == "xdp":
            self.skipTest("a VLAN device has no native XDP")
        self.lab.wire("node1", "eth1")
        self.need(("vlan", "id", "5"), "link", "eth1", "name")
        self.set_up("node1", NAME, "node1")
        self.lab.run("client", "ip", "link", "add", "link", "wires", "name", "tagged", "type", "vlan", "id", "5")
        self.set_up("client", "tagged", "client")
        self.wait_answers("node1", "the VLAN device is an uplink")
        self.assertIsNone(self.ask(SECOND["node2"][0], timeout_s=2, check=False))


class TestBond(KindTest):
    def test_it_answers_whichever_port_is_used(self):
        self.need(("bond", "mode", "active-backup", "miimon", "100"), "name")
        self.lab.wire("node1", "eth1")
        self.lab.run("node1", "ip", "link", "set", "eth1", "down")
        self.lab.run("node1", "ip", "link", "set", "eth1", "master", NAME)
        self.set_up("node1", NAME, "node1")
        self.set_up("client", "wires", "client")
        self.wait_answers("node1", "the bond is an uplink")


if __name__ == "__main__":
    harness.main()
