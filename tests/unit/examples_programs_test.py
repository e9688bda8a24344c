"""The example servers as processes: what they answer, and how they stop."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import unittest


def enter_own_network():
    """Everything below happens on the loopback of a new network namespace."""
    if os.environ.get("EXAMPLES_OWN_NETWORK") != "1":
        os.environ["EXAMPLES_OWN_NETWORK"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, "-B", *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class Server:
    """A program that says "listening on port" and is stopped at the end."""

    def __init__(self, name, port, **environment):
        self.port = port
        program = os.path.join(BUILD, "examples/bin", name)
        self.process = subprocess.Popen([program], env={**os.environ, "PORT": str(port), **environment},
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line == f"listening on port {port}\n", line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def get(self, path, host="127.0.0.1", method="GET", body=None):
        connection = http.client.HTTPConnection(host, self.port, timeout=10)
        connection.request(method, path, body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content.decode()


class Answers(unittest.TestCase):
    def test_picture_as_json_and_as_itself(self):
        with Server("iotd", 8001, NODE_HOSTNAME="node7") as iotd:
            status, body = iotd.get("/image")
            self.assertEqual(status, 200)
            self.assertEqual(json.loads(body)["host"], "node7")
            self.assertEqual(json.loads(body)["task"], socket.gethostname())
            self.assertTrue(iotd.get("/picture.svg")[1].startswith("<svg"))
            self.assertEqual(iotd.get("/nothing")[0], 404)
            self.assertEqual(iotd.get("/image", method="DELETE")[0], 405)

    def test_both_address_families_see_the_client_as_it_is(self):
        with Server("image-gallery", 8001) as gallery:
            self.assertEqual(json.loads(gallery.get("/whoami")[1])["client"], "127.0.0.1")
            self.assertEqual(json.loads(gallery.get("/whoami", host="::1")[1])["client"], "::1")

    def test_access_log_counts_what_it_understands(self):
        with Server("accesslog", 8001) as log:
            report = json.dumps({"source": "a", "client": "192.0.2.1"})
            self.assertEqual(log.get("/access-log", method="POST", body=report)[0], 201)
            self.assertEqual(log.get("/access-log", method="POST", body="{}")[0], 400)
            self.assertEqual(json.loads(log.get("/access-log")[1])["count"], 1)
            self.assertIn("client 192.0.2.1", log.process.stdout.readline())

    def test_gallery_uses_the_others_and_does_without(self):
        urls = {"IMAGE_URL": "http://127.0.0.1:8001/image", "ACCESS_LOG_URL": "http://[::1]:8002/access-log"}
        with Server("image-gallery", 8003, **urls) as gallery:
            with Server("iotd", 8001), Server("accesslog", 8002) as log:
                status, page = gallery.get("/")
                self.assertEqual(status, 200)
                self.assertIn("data:image/svg+xml;base64,", page)
                self.assertIn(">reported<", page)
                self.assertEqual(json.loads(log.get("/access-log")[1])["count"], 1)
            status, page = gallery.get("/")
            self.assertEqual(status, 200)
            self.assertIn("The picture of the day is away. http://127.0.0.1:8001/image: cannot connect", page)

    def test_garbage_is_refused_and_the_server_lives(self):
        with Server("iotd", 8001) as iotd:
            for garbage in (b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
                with socket.create_connection(("127.0.0.1", 8001), timeout=10) as connection:
                    connection.sendall(garbage)
                    self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 400 "))
            self.assertEqual(iotd.get("/healthz")[0], 200)


class Stop(unittest.TestCase):
    def test_idle_server_stops_at_once(self):
        with Server("iotd", 8001) as iotd:
            iotd.process.send_signal(signal.SIGTERM)
            self.assertEqual(iotd.process.wait(timeout=5), 0)

    def test_work_in_hand_is_finished(self):
        """The gallery waits for a picture service that answers only after the gallery was asked to stop."""
        with socket.create_server(("127.0.0.1", 8001)) as slow, \
             Server("image-gallery", 8003, IMAGE_URL="http://127.0.0.1:8001/image",
                    ACCESS_LOG_URL="http://127.0.0.1:9/") as gallery:
            answers = []
            asking = threading.Thread(target=lambda: answers.append(gallery.get("/")))
            asking.start()
            waiting, _ = slow.accept()
            waiting.recv(1000)
            gallery.process.send_signal(signal.SIGTERM)
            # A connection of its own still gets an answer, and is told not to come back on it.
            late = http.client.HTTPConnection("127.0.0.1", 8003, timeout=10)
            late.request("GET", "/healthz")
            answer = late.getresponse()
            self.assertEqual((answer.status, answer.getheader("Connection")), (200, "close"))
            picture = b'{"caption":"c","content_type":"t","data":"QUJD","task":"x"}'
            waiting.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(picture), picture))
            waiting.close()
            asking.join()
            self.assertEqual(answers[0][0], 200)
            self.assertIn("base64,QUJD", answers[0][1])
            self.assertEqual(gallery.process.wait(timeout=5), 0)

    def test_kept_connection_gets_a_last_answer_that_says_close(self):
        with Server("iotd", 8001) as iotd:
            kept = http.client.HTTPConnection("127.0.0.1", 8001, timeout=10)
            kept.request("GET", "/healthz")
            first = kept.getresponse()
            first.read()
            self.assertEqual(first.getheader("Connection"), "keep-alive")
            iotd.process.send_signal(signal.SIGTERM)
            kept.request("GET", "/healthz")
            last = kept.getresponse()
            self.assertEqual((last.status, last.read()), (200, b"ok\n"))
            self.assertEqual(iotd.process.wait(timeout=5), 0)


class TimeCheck(unittest.TestCase):
    def test_prints_and_stops(self):
        process = subprocess.Popen([os.path.join(BUILD, "examples/bin/timecheck")], stdout=subprocess.PIPE, text=True,
                                   env={"APP_VERSION": "1.0", "APP_ENVIRONMENT": "TEST", "INTERVAL_MS": "10"})
        for _ in range(3):
            self.assertRegex(process.stdout.readline(),
                             r"^App version: 1\.0; environment: TEST; time check: \d\d:\d\d\.\d\d$")
        process.terminate()
        self.assertEqual(process.wait(timeout=5), 0)
        process.stdout.close()


if __name__ == "__main__":
    enter_own_network()
    BUILD = sys.argv.pop(1)
    unittest.main()
