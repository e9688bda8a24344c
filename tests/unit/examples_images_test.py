"""The example images: the same bytes each time, and whole in a real registry under all their names."""

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLES = os.path.join(SOURCE, "examples")
sys.path.insert(0, EXAMPLES)

import images
import packages


def enter_own_network():
    if os.environ.get("EXAMPLES_OWN_NETWORK") != "1":
        os.environ["EXAMPLES_OWN_NETWORK"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, "-B", *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Layer(unittest.TestCase):
    def test_tar_is_whole_and_ordered(self):
        layer = images.Layer().file("b/file", "text", 0o640).link("a", "b/file").directory("tmp", 0o1777)
        content = layer.tar()
        self.assertEqual(len(content) % 512, 0)
        self.assertEqual(content[-1024:], bytes(1024))  # two empty blocks end an archive
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            members = {member.name: member for member in archive}
        self.assertEqual(list(members), ["a", "b", "b/file", "tmp"])
        self.assertEqual((members["b/file"].mode, members["tmp"].mode, members["a"].linkname), (0o640, 0o1777, "b/file"))
        self.assertEqual({(member.mtime, member.uid, member.gid) for member in members.values()}, {(0, 0, 0)})

    def test_order_of_making_is_no_difference(self):
        one = images.Layer().file("a", "1").file("b", "2")
        other = images.Layer().file("b", "2").file("a", "1")
        self.assertEqual(one.blob(), other.blob())


class Build(unittest.TestCase):
    def test_same_input_same_digests_and_shared_base(self):
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            self.assertEqual(run(os.path.join(EXAMPLES, "build"), BUILD, first),
                             run(os.path.join(EXAMPLES, "build"), BUILD, second))
            bases = set()
            for name in os.listdir(first):
                manifest = os.path.join(first, name, "manifest.json")
                if os.path.exists(manifest):
                    with open(manifest, encoding="utf-8") as opened:
                        bases.add(json.load(opened)["layers"][0]["digest"])
            self.assertEqual(len(bases), 1)

    def test_archive_is_one_that_skopeo_reads(self):
        with tempfile.TemporaryDirectory() as out:
            run(os.path.join(EXAMPLES, "build"), BUILD, out, "--archive")
            archive = f"docker-archive:{out}/iotd.tar:library/iotd:latest"
            config = json.loads(run("skopeo", "inspect", "--config", "--raw", archive))
            self.assertEqual(config["config"]["Healthcheck"]["Test"][0], "CMD")


class Registry(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.storage = tempfile.TemporaryDirectory()
        fill = os.path.join(EXAMPLES, "registry-fill")
        cls.first = run(fill, BUILD, cls.storage.name)
        cls.second = run(fill, BUILD, cls.storage.name)
        config = os.path.join(cls.storage.name, "test.yml")
        with open(config, "w", encoding="utf-8") as opened:
            opened.write(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: '{cls.storage.name}'}}}}\n"
                         "http: {addr: '127.0.0.1:5000'}\n")
        cls.registry = subprocess.Popen([packages.docker_registry(), "serve", config], stderr=subprocess.PIPE, text=True)
        for line in cls.registry.stderr:
            if "listening on" in line:
                break

    @classmethod
    def tearDownClass(cls):
        cls.registry.kill()
        cls.registry.wait()
        cls.registry.stderr.close()
        cls.storage.cleanup()

    def inspect(self, reference, *options):
        return run("skopeo", "inspect", "--tls-verify=false", *options, f"docker://127.0.0.1:5000/{reference}")

    def test_second_fill_pushes_nothing(self):
        self.assertIn("library/iotd:latest", self.first)
        self.assertEqual(self.second, "")

    def test_every_name_is_there(self):
        for reference in ("library/iotd:latest", "library/accesslog:latest", "library/image-gallery:latest",
                          "library/timecheck:1.0", "library/timecheck:2.0", "library/timecheck:latest",
                          "library/nginx:latest", "library/mesh-tools:latest", "diamol/ch09-image-of-the-day:latest",
                          "diamol/ch09-access-log:latest", "diamol/ch09-image-gallery:latest",
                          "diamol/ch12-timecheck:1.0", "diamol/ch12-timecheck:2.0"):
            with self.subTest(reference):
                self.assertTrue(json.loads(self.inspect(reference))["Digest"].startswith("sha256:"))

    def test_book_names_are_the_same_images(self):
        self.assertEqual(json.loads(self.inspect("library/iotd"))["Digest"],
                         json.loads(self.inspect("diamol/ch09-image-of-the-day"))["Digest"])

    def test_health_check_survives_the_push(self):
        config = json.loads(self.inspect("diamol/ch09-image-gallery", "--config", "--raw"))["config"]
        self.assertEqual(config["Healthcheck"]["Test"], ["CMD", "/bin/wget", "-q", "-O", "/dev/null",
                                                         "http://127.0.0.1/healthz"])
        self.assertEqual(config["Healthcheck"]["StartInterval"], 500_000_000)
        self.assertEqual(config["ExposedPorts"], {"80/tcp": {}})

    def test_two_versions_differ_in_the_environment_alone(self):
        environments = [json.loads(self.inspect(f"diamol/ch12-timecheck:{version}", "--config", "--raw"))["config"]["Env"]
                        for version in ("1.0", "2.0")]
        self.assertIn("APP_VERSION=1.0", environments[0])
        self.assertIn("APP_VERSION=2.0", environments[1])
        layers = [json.loads(self.inspect(f"diamol/ch12-timecheck:{version}"))["Layers"] for version in ("1.0", "2.0")]
        self.assertEqual(*layers)


if __name__ == "__main__":
    enter_own_network()
    BUILD = sys.argv.pop(1)
    unittest.main()
