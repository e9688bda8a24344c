"""scripts/setup enables and starts no service: nothing that it installs would."""

import glob
import os
import re
import subprocess
import unittest

import sources

SETUP = os.path.join(sources.ROOT, "scripts", "setup")
INFO = "/var/lib/dpkg/info"
HARMLESS = {"procps"}  # an init script that applies sysctl files and ends; systemd has its own


def enables(script):
    """The services that a maintainer script enables on a machine that has never had them (debhelper's wording)."""
    found = re.findall(r"new installations run enable.*?\n.*?deb-systemd-helper enable '([^']+\.service)'", script, re.S)
    return found + re.findall(r"update-rc\.d (\S+) defaults(?!-disabled)", script)


class Setup(unittest.TestCase):
    def setUp(self):
        listed = subprocess.run([SETUP, "--list"], capture_output=True, text=True, check=True).stdout
        self.packages = listed.split()

    def test_list_is_plausible(self):
        self.assertIn("clang-19", self.packages)
        self.assertEqual(len(self.packages), len(set(self.packages)), "a package is listed twice")

    def test_packages_enable_no_service(self):
        for package in self.packages:
            with self.subTest(package=package):
                scripts = glob.glob(f"{INFO}/{package}.postinst") + glob.glob(f"{INFO}/{package}:*.postinst")
                for path in scripts:
                    with open(path, encoding="utf-8") as stream:
                        services = set(enables(stream.read())) - HARMLESS
                    self.assertEqual(services, set(), f"{package} enables them: unpack it instead of installing it")

    def test_the_rule_bites(self):
        registry = "/var/cache/meshd-dev/docker-registry"
        package = glob.glob(f"{registry}/lib/systemd/system/*.service")
        self.assertTrue(package, "docker-registry has no unit any more: install it instead of unpacking it")
        snippet = """
            # was-enabled defaults to true, so new installations run enable.
            if deb-systemd-helper --quiet was-enabled 'x.service'; then
                deb-systemd-helper enable 'x.service' >/dev/null || true
        """
        self.assertEqual(enables(snippet), ["x.service"])
        self.assertEqual(enables(snippet.replace("new installations", "old ones")), [])
        self.assertEqual(enables("update-rc.d a defaults >/dev/null\nupdate-rc.d b defaults-disabled"), ["a"])

    def test_policy_file_is_gone(self):
        path = "/usr/sbin/policy-rc.d"
        if os.path.exists(path):
            with open(path, encoding="utf-8") as stream:
                self.assertNotEqual(stream.read(), "#!/bin/sh\nexit 101\n", f"setup left its {path} behind")
        self.assertFalse(os.path.exists(path + ".before-meshd-setup"))

    def test_dangerous_packages_are_unpacked_only(self):
        for package in ("docker-registry", "nginx", "docker.io"):
            self.assertNotIn(package, self.packages)
            marker = f"/var/cache/meshd-dev/{package}/.complete"
            self.assertTrue(os.path.exists(marker), f"{marker} is missing: run scripts/setup")

    def test_second_run_changes_nothing(self):
        done = subprocess.run([SETUP], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "setup: everything is installed\n")


if __name__ == "__main__":
    unittest.main()
