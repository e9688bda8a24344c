"""meshctl as a program, against a daemon that answers from a script: what it asks, prints and returns."""

import http.server
import json
import os
import re
import socketserver
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse

NODE = {"ID": "node-a", "Version": {"Index": 4}, "Spec": {"Role": "manager", "Availability": "active", "Labels": {}},
        "Description": {"Hostname": "node1", "Engine": {"EngineVersion": "0.1.0"}}, "Status": {"State": "ready"},
        "ManagerStatus": {"Leader": True, "Reachability": "reachable", "Addr": "10.9.0.1:2377"}}
INFO = {"Swarm": {"NodeID": "node-a", "NodeAddr": "10.9.0.1", "LocalNodeState": "active", "ControlAvailable": True,
                  "RemoteManagers": [{"NodeID": "node-a", "Addr": "10.9.0.1:2377"}]}}
SPEC = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}, "ForceUpdate": 0},
        "Mode": {"Replicated": {"Replicas": 1}}, "UpdateConfig": {"Parallelism": 1, "Monitor": 1000000}}


def service(index=7, **more):
    return {"ID": "service-a", "Version": {"Index": index}, "Spec": SPEC,
            "Endpoint": {"Ports": SPEC.get("EndpointSpec", {}).get("Ports", [])},
            "ServiceStatus": {"RunningTasks": 1, "DesiredTasks": 1}, **more}


def task(state, **status):
    return {"ID": "task-a", "ServiceID": "service-a", "Slot": 1, "NodeID": "node-a", "DesiredState": "running",
            "CreatedAt": "2026-03-01T12:00:00Z", "Spec": SPEC["TaskTemplate"],
            "Status": {"State": state, "Timestamp": "2026-03-01T12:00:00Z", **status}}


class Daemon(socketserver.ThreadingUnixStreamServer):
    """`answers`: "GET /nodes" -> one answer, or a list that is used up to its last. An answer is (status, body),
    or (status, body, event): it comes once that is set."""

    daemon_threads = True

    def __init__(self, path, answers):
        self.asked = []  # (method, path, query, body)
        self.answers = {key: value if isinstance(value, list) else [value] for key, value in answers.items()}
        super().__init__(path, Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def bodies(self, method, path):
        return [body for asked, where, _, body in self.asked if (asked, where) == (method, path)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        where = re.sub(r"^/v1\.\d+", "", url.path)
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.asked.append((self.command, where, urllib.parse.parse_qs(url.query), body))
        script = self.server.answers.get(f"{self.command} {where}", [(404, {"message": f"no {where} here"})])
        status, content, *held = script.pop(0) if len(script) > 1 else script[0]
        for event in held:
            event.wait(15)
        if isinstance(content, list) and content and content[0] == "stream":
            return self.stream(content[1:])
        data = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if data:
            self.wfile.write(data)

    def stream(self, messages):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        data = "".join(json.dumps(message) + "\r\n" for message in messages).encode()
        # Chunks end where they like, not where lines do.
        for begin in range(0, len(data), 7):
            piece = data[begin:begin + 7]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_DELETE = answer


class Meshctl(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.daemon = None

    def run_with(self, answers, *arguments):
        path = os.path.join(self.directory.name, f"{len(os.listdir(self.directory.name))}.sock")
        self.daemon = Daemon(path, answers)
        try:
            return subprocess.run([PROGRAM, "--host", f"unix://{path}", *arguments], capture_output=True, text=True,
                                  timeout=20)
        finally:
            self.daemon.shutdown()
            self.daemon.server_close()

    def assert_tells_what_it_waits_for(self, what, answers, held, *arguments):
        """The answer to `held` comes only when the command has said so on standard error."""
        path = os.path.join(self.directory.name, f"{len(os.listdir(self.directory.name))}.sock")
        told = threading.Event()
        self.daemon = Daemon(path, {**answers, held: (*answers[held], told)})
        with subprocess.Popen([PROGRAM, "--host", f"unix://{path}", *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            self.assertEqual(process.stderr.readline(), f"waiting for {what} ...\n")
            told.set()
            _, rest = process.communicate(timeout=20)
        self.daemon.shutdown()
        self.daemon.server_close()
        self.assertEqual((process.returncode, rest), (0, ""))

    def assert_ends(self, result, status, out=None, err=None):
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        if out is not None:
            self.assertEqual(result.stdout, out)
        if err is not None:
            self.assertIn(err, result.stderr)


class Lists(Meshctl):
    def test_node_ls(self):
        answers = {"GET /nodes": (200, [NODE]), "GET /info": (200, INFO)}
        result = self.run_with(answers, "node", "ls")
        self.assert_ends(result, 0)
        self.assertIn("node-a *   node1      Ready     Active         Leader           0.1.0", result.stdout)
        self.assert_ends(self.run_with(answers, "node", "ls", "-q"), 0, "node-a\n")
        self.assert_ends(self.run_with(answers, "node", "ls", "--format", "{{.Hostname}}"), 0, "node1\n")

    def test_filters_reach_the_daemon(self):
        result = self.run_with({"GET /services": (200, [])}, "service", "ls", "-f", "name=web", "--filter", "label=a=b")
        self.assert_ends(result, 0)
        query = self.daemon.asked[0][2]
        self.assertEqual(json.loads(query["filters"][0]), {"name": ["web"], "label": ["a=b"]})
        self.assertEqual(query["status"], ["true"])

    def test_options_of_the_mesh_are_shown_as_labels(self):
        labelled = {**service(), "Spec": {**SPEC, "Labels": {"mesh.return": "dsr", "tier": "front"}}}
        answers = {"GET /services": (200, [labelled]), "GET /services/web": (200, labelled)}
        self.assert_ends(self.run_with(answers, "service", "ls", "--format", "{{.Name}} {{.Labels}}"), 0,
                         "web mesh.return=dsr,tier=front\n")
        self.assertIn(" - mesh.return=dsr\n", self.run_with(answers, "service", "inspect", "--pretty", "web").stdout)

    def test_inspect_of_several_shows_what_there_is_and_fails(self):
        result = self.run_with({"GET /services/web": (200, service())}, "service", "inspect", "absent", "web")
        self.assert_ends(result, 1, err="no /services/absent here")
        self.assertEqual(json.loads(result.stdout)[0]["ID"], "service-a")

    def test_worker_refusal_is_told(self):
        message = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state."
        self.assert_ends(self.run_with({"GET /nodes": (503, {"message": message})}, "node", "ls"), 1, "",
                         f"meshctl: {message}\n")

    def test_nobody_listens(self):
        result = subprocess.run([PROGRAM, "node", "ls"], capture_output=True, text=True, timeout=20,
                                env={"MESHD_HOST": f"unix://{self.directory.name}/none.sock"})
        self.assert_ends(result, 1, "", "is meshd running?")

    def test_an_answer_that_is_no_json(self):
        result = self.run_with({"GET /nodes": (200, {"surprise": 1})}, "node", "ls")
        self.assert_ends(result, 1, "", "expected a list")


class CommandLine(Meshctl):
    def test_misuse_is_status_2(self):
        for arguments in ([], ["node"], ["nonsense"], ["service", "create"], ["swarm", "join", "host:2377"],
                          ["node", "ls", "--nonsense"], ["publish", "8010:80"]):
            with self.subTest(arguments):
                self.assertEqual(self.run_with({}, *arguments).returncode, 2)

    def test_wrong_values_are_refused_before_anything_is_asked(self):
        result = self.run_with({}, "service", "create", "--limit-cpu", "many", "nginx")
        self.assert_ends(result, 1, "", "--limit-cpu")
        self.assertEqual(self.daemon.asked, [])


class Create(Meshctl):
    created = {"POST /services/create": (201, {"ID": "service-a"}),
               "GET /distribution/nginx/json": (200, {"Descriptor": {"digest": "sha256:12"}})}

    def test_detached_prints_the_id(self):
        result = self.run_with(self.created, "service", "create", "-d", "--name", "web", "-e", "A=1", "-e", "B=2",
                               "--publish", "8010:80", "nginx", "sh", "-c", "echo --name")
        self.assert_ends(result, 0, "service-a\n")
        body = self.daemon.bodies("POST", "/services/create")[0]
        container = body["TaskTemplate"]["ContainerSpec"]
        self.assertEqual(container["Image"], "nginx:latest@sha256:12")
        self.assertEqual(container["Args"], ["sh", "-c", "echo --name"])
        self.assertEqual(container["Env"], ["A=1", "B=2"])
        self.assertEqual(body["EndpointSpec"]["Ports"][0]["PublishedPort"], 8010)

    def test_flags_before_the_image_are_ours(self):
        for arguments in (["--publsh=80:80", "nginx"], ["--publsh", "80:80", "nginx"], ["-x", "nginx"],
                          ["--", "--publsh"], ["--name", "web"]):
            with self.subTest(arguments):
                result = self.run_with(self.created, "service", "create", "-d", *arguments)
                if arguments[0] == "--":
                    self.assert_ends(result, 0)  # an image with a strange name
                    continue
                self.assert_ends(result, 2, "", "IMAGE" if arguments[0] == "--name" else arguments[0])
                self.assertEqual(self.daemon.asked, [])

    def test_what_follows_the_image_is_the_command(self):
        for flags in ([], ["-dq"], ["-e", "A=1"], ["--name=web"], ["-dp80:80"], ["--read-only", "--label", "-x"]):
            for image in ("nginx", "node"):  # the other is also a command of meshctl's
                for command in (["--name", "x", "-d"], ["--publsh=80:80"], ["--", "-e", "[a,b]", ""], ["service", "ls"]):
                    with self.subTest((flags, image, command)):
                        result = self.run_with(self.created, "service", "create", "--no-resolve-image", "-d", *flags,
                                               image, *command)
                        self.assert_ends(result, 0, "service-a\n")
                        body = self.daemon.bodies("POST", "/services/create")[0]
                        self.assertEqual(body["TaskTemplate"]["ContainerSpec"]["Image"], image)
                        self.assertEqual(body["TaskTemplate"]["ContainerSpec"]["Args"], command)
                        self.assertEqual(body.get("Name", ""), "web" if flags == ["--name=web"] else "")

    def test_registry_away_is_a_warning(self):
        answers = {"POST /services/create": (201, {"ID": "service-a"})}
        result = self.run_with(answers, "service", "create", "-d", "nginx")
        self.assert_ends(result, 0, "service-a\n", "could not be accessed on a registry to record its digest")
        self.assertEqual(self.daemon.bodies("POST", "/services/create")[0]["TaskTemplate"]["ContainerSpec"]["Image"],
                         "nginx")

    def test_waits_until_converged(self):
        answers = {**self.created, "GET /services": (200, [service()]), "GET /nodes": (200, [NODE]),
                   "GET /tasks": [(200, [task("preparing")]), (200, [task("running")])]}
        result = self.run_with(answers, "service", "create", "nginx")
        self.assert_ends(result, 0)
        lines = result.stdout.splitlines()
        self.assertEqual(lines[0], "service-a")
        for line in ("overall progress: 0 out of 1 tasks", "1/1: preparing", "overall progress: 1 out of 1 tasks",
                     "1/1: running"):
            self.assertIn(line, lines)
        self.assertEqual(lines[-1], "verify: Service service-a converged")

    def test_time_out_is_told(self):
        answers = {**self.created, "GET /services": (200, [service()]), "GET /nodes": (200, [NODE]),
                   "GET /tasks": (200, [task("pending", Err="no suitable node (insufficient resources on 1 node)")])}
        result = self.run_with(answers, "service", "create", "--timeout", "300ms", "nginx")
        self.assert_ends(result, 1, err="has not converged within 300ms: 0 of 1 tasks run")
        self.assertIn("1/1: pending (no suitable node (insufficient resources on 1 node))", result.stdout)


class Update(Meshctl):
    def update_with_state(self, state, *flags):
        status = {"UpdateStatus": {"State": state, "Message": "task-a failed"}}
        answers = {"GET /services/web": (200, service()), "POST /services/service-a/update": (200, {}),
                   "GET /services": (200, [service(**status)]), "GET /nodes": (200, [NODE]),
                   "GET /tasks": (200, [task("running")])}
        return self.run_with(answers, "service", "update", *flags, "web")

    def test_exit_status_tells_the_truth(self):
        self.assert_ends(self.update_with_state("completed", "--force"), 0)
        self.assert_ends(self.update_with_state("paused", "--force"), 1, err="service update paused: task-a failed")
        self.assert_ends(self.update_with_state("rollback_completed", "--force"), 1, err="rolled back")
        self.assert_ends(self.update_with_state("rollback_paused", "--force"), 1, err="rollback paused")
        self.assert_ends(self.update_with_state("rollback_completed", "--rollback"), 0)

    def test_sends_the_version_that_it_saw(self):
        self.update_with_state("completed", "--force")
        asked = [entry for entry in self.daemon.asked if entry[0] == "POST"][0]
        self.assertEqual(asked[2]["version"], ["7"])
        self.assertEqual(asked[3]["TaskTemplate"]["ForceUpdate"], 1)

    def test_switches_that_are_not_given_change_nothing(self):
        container = {"Image": "nginx", "TTY": True, "ReadOnly": True, "Init": True}
        for given, expected in (((), container), (("--tty=false", "--init=false"),
                                                  {"Image": "nginx", "ReadOnly": True, "Init": False})):
            spec = {**SPEC, "TaskTemplate": {"ContainerSpec": container, "ForceUpdate": 0}}
            answers = {"GET /services/web": (200, {**service(), "Spec": spec}),
                       "POST /services/service-a/update": (200, {})}
            self.assert_ends(self.run_with(answers, "service", "update", "-d", *given, "web"), 0)
            update = self.daemon.bodies("POST", "/services/service-a/update")[0]
            self.assertEqual(update["TaskTemplate"]["ContainerSpec"], expected)

    def test_options_of_the_mesh_become_labels(self):
        answers = {"GET /services/web": (200, service()), "POST /services/service-a/update": (200, {})}
        self.assert_ends(self.run_with(answers, "service", "update", "-d", "--mesh-return", "dsr", "--mesh-affinity",
                                       "client-ip:10m", "--mesh-weight=capacity", "--mesh-prefer", "", "web"), 0)
        update = self.daemon.bodies("POST", "/services/service-a/update")[0]
        self.assertEqual(update["Labels"], {"mesh.affinity": "client-ip:10m", "mesh.return": "dsr",
                                            "mesh.weight": "capacity"})
        self.assertEqual(update["TaskTemplate"], SPEC["TaskTemplate"])  # no task is replaced

    def test_scale(self):
        answers = {"GET /services/web": (200, service()), "POST /services/service-a/update": (200, {})}
        result = self.run_with(answers, "service", "scale", "-d", "web=3", "absent=1")
        self.assert_ends(result, 1, "web scaled to 3\n", "no /services/absent here")
        self.assertEqual(self.daemon.bodies("POST", "/services/service-a/update")[0]["Mode"],
                         {"Replicated": {"Replicas": 3}})


class Publish(Meshctl):
    port = {"Protocol": "udp", "TargetPort": 80, "PublishedPort": 8010, "PublishMode": "ingress"}

    def test_adds_the_port_and_waits_for_the_kernels(self):
        published = {**service(), "Endpoint": {"Ports": [self.port]}}
        answers = {"GET /services/web": [(200, service(7)), (200, service(8))],
                   "POST /services/service-a/update": [(409, {"message": "update out of sequence"}), (200, {})],
                   "GET /mesh/services/service-a/ready": (200, {"Ready": True, "Hosts": 3, "NoSession": []}),
                   "GET /services/service-a": (200, published)}
        result = self.run_with(answers, "publish", "8010:80/udp", "web")
        self.assert_ends(result, 0, "8010/udp published: 3 hosts answer for web (port 80 of its tasks)\n")
        updates = [entry for entry in self.daemon.asked if entry[0] == "POST"]
        self.assertEqual([entry[2]["version"] for entry in updates], [["7"], ["8"]])
        self.assertEqual(updates[1][3]["EndpointSpec"]["Ports"], [self.port])
        self.assertEqual(updates[1][3]["TaskTemplate"], SPEC["TaskTemplate"])  # no task is replaced

    def test_says_who_answers(self):
        published = {**service(), "Endpoint": {"Ports": [self.port]}}
        answers = {"GET /services/web": (200, service()), "POST /services/service-a/update": (200, {}),
                   "GET /services/service-a": (200, published), "GET /mesh/services/service-a/ready":
                   (200, {"Ready": True, "Hosts": 1, "NoSession": ["node2", "node3"]})}
        self.assert_ends(self.run_with(answers, "publish", "8010:80/udp", "web"), 0,
                         "8010/udp published: 1 host answers for web (port 80 of its tasks)\n",
                         "no session with node2, node3:")
        self.assert_ends(self.run_with(answers, "publish", "-d", "8010:80/udp", "web"), 0, "8010/udp published\n")
        self.assertNotIn("/mesh/services/service-a/ready", [entry[1] for entry in self.daemon.asked])

    def test_says_when_it_does_not_answer_yet(self):
        answers = {"GET /services/web": (200, service()), "POST /services/service-a/update": (200, {}),
                   "GET /mesh/services/service-a/ready": (503, {"message": "not yet in the kernel of node2"})}
        self.assert_ends(self.run_with(answers, "publish", "8010:80", "web"), 1, "", "not yet in the kernel of node2")

    def test_says_where_it_is_in_use(self):
        problem = "node2: port 8010/tcp is already in use on this host by httpd (pid 7)"
        answers = {"GET /services/web": (200, service()), "POST /services/service-a/update": (200, {}),
                   "GET /mesh/services/service-a/ready": (200, {"Ready": True, "Problems": [problem]})}
        self.assert_ends(self.run_with(answers, "publish", "8010:80", "web"), 1, "", problem)

    def test_where_and_to_whom_become_labels(self):
        published = {**service(), "Endpoint": {"Ports": [self.port]}}
        answers = {"GET /services/web": (200, service()), "GET /services/service-a": (200, published),
                   "POST /services/service-a/update": (200, {"Warnings": ["published port 8010/udp: no node meets it"]}),
                   "GET /mesh/services/service-a/ready": (200, {"Hosts": 3, "Answering": {"8010/udp": 1}})}
        result = self.run_with(answers, "publish", "10.0.0.5:8010:80/udp", "web", "--allow", "192.0.2.0/24", "--allow",
                               "10.0.0.1", "--on", "node.labels.edge==true")
        self.assert_ends(result, 0, "8010/udp published: 1 host answers for web (port 80 of its tasks)\n",
                         "no node meets it")
        update = self.daemon.bodies("POST", "/services/service-a/update")[0]
        self.assertEqual(update["Labels"], {"mesh.port.8010/udp.address": "10.0.0.5",
                                            "mesh.port.8010/udp.allow": "192.0.2.0/24,10.0.0.1",
                                            "mesh.port.8010/udp.on": "node.labels.edge==true"})
        self.assertEqual(update["EndpointSpec"]["Ports"], [self.port])
        self.assertEqual(update["TaskTemplate"], SPEC["TaskTemplate"])  # no task is replaced

    def test_unpublish_removes_the_labels_of_the_port(self):
        published = service()
        published["Spec"] = {**SPEC, "EndpointSpec": {"Ports": [self.port]},
                             "Labels": {"mesh.port.8010/udp.allow": "10.0.0.1", "mesh.return": "dsr"}}
        answers = {"GET /services/web": (200, published), "POST /services/service-a/update": (200, {})}
        self.assert_ends(self.run_with(answers, "unpublish", "-d", "8010/udp", "web"), 0, "8010/udp unpublished\n")
        self.assertEqual(self.daemon.bodies("POST", "/services/service-a/update")[0]["Labels"], {"mesh.return": "dsr"})

    def test_port_in_use_is_refused(self):
        message = "port '8010' is already in use by service 'other' as an ingress port"
        answers = {"GET /services/web": (200, service()),
                   "POST /services/service-a/update": (400, {"message": message})}
        self.assert_ends(self.run_with(answers, "publish", "8010:80", "web"), 1, "", message)

    def test_unpublish_waits_for_the_kernels(self):
        published = service()
        published["Spec"] = {**SPEC, "EndpointSpec": {"Ports": [self.port]}}
        behind = {"Version": "1", "Swarm": {"State": "active"}, "Tables": {"Epoch": 1, "Version": 3},
                  "Nodes": [{"ID": "a", "Hostname": "node1", "Session": True, "Acknowledged": {"Epoch": 1, "Version": 2}}]}
        current = json.loads(json.dumps(behind))
        current["Nodes"][0]["Acknowledged"]["Version"] = 3
        answers = {"GET /services/web": (200, published), "POST /services/service-a/update": (200, {}),
                   "GET /services/service-a": (200, service()), "GET /mesh/status": [(200, behind), (200, current)]}
        self.assert_ends(self.run_with(answers, "unpublish", "8010/udp", "web"), 0, "8010/udp unpublished\n")
        self.assertEqual(len([1 for entry in self.daemon.asked if entry[1] == "/mesh/status"]), 2)
        self.assert_ends(self.run_with(answers, "unpublish", "8010", "web"), 1, "", "does not publish 8010/tcp")


class Swarm(Meshctl):
    cluster = {"ID": "c", "Version": {"Index": 9}, "JoinTokens": {"Worker": "SWMTKN-1-w", "Manager": "SWMTKN-1-m"},
               "Spec": {"Name": "default"}}

    def test_what_takes_long_is_told(self):
        port = Publish.port
        published = {**service(), "Spec": {**SPEC, "EndpointSpec": {"Ports": [port]}}}
        status = {"Version": "1", "Swarm": {"State": "active"}, "Tables": {"Epoch": 1, "Version": 3}, "Nodes": []}
        answers = {"GET /services/web": (200, published), "POST /services/service-a/update": (200, {}),
                   "GET /services/service-a": (200, service()), "GET /mesh/status": (200, status),
                   "GET /mesh/services/service-a/ready": (200, {"Hosts": 1}), "POST /swarm/join": (200, None),
                   "GET /info": (200, INFO), "POST /swarm/leave": (200, None), **Create.created}
        for what, held, *arguments in (
                ("every host to answer on the port", "GET /mesh/services/service-a/ready", "publish", "8010:80", "web"),
                ("every host to give the port back", "GET /mesh/status", "unpublish", "8010/udp", "web"),
                ("the manager at m:2377", "POST /swarm/join", "swarm", "join", "--token", "t", "m:2377"),
                ("the tasks of this host to stop", "POST /swarm/leave", "swarm", "leave"),
                ("the registry to tell the digest of nginx", "GET /distribution/nginx/json", "service", "create", "-d",
                 "nginx")):
            with self.subTest(arguments):
                self.assert_tells_what_it_waits_for(what, answers, held, *arguments)

    def test_update(self):
        answers = {"GET /swarm": (200, self.cluster), "POST /swarm/update": (200, None)}
        result = self.run_with(answers, "swarm", "update", "--task-history-limit", "2", "--cert-expiry", "48h",
                               "--dispatcher-heartbeat", "1s")
        self.assert_ends(result, 0, "Swarm updated.\n")
        update = [entry for entry in self.daemon.asked if entry[0] == "POST"][0]
        self.assertEqual(update[2], {"version": ["9"]})
        self.assertEqual(update[3]["Orchestration"]["TaskHistoryRetentionLimit"], 2)
        self.assertEqual(update[3]["CAConfig"]["NodeCertExpiry"], 48 * 3600 * 10**9)
        self.assertEqual(update[3]["Dispatcher"]["HeartbeatPeriod"], 10**9)
        self.assert_ends(self.run_with(answers, "swarm", "update", "--cert-expiry", "long"), 1, "", "--cert-expiry")

    def test_init_tells_how_to_join(self):
        answers = {"POST /swarm/init": (200, "node-a"), "GET /swarm": (200, self.cluster), "GET /info": (200, INFO)}
        result = self.run_with(answers, "swarm", "init", "--advertise-addr", "10.9.0.1")
        self.assert_ends(result, 0)
        self.assertIn("current node (node-a) is now a manager", result.stdout)
        self.assertIn("    meshctl swarm join --token SWMTKN-1-w 10.9.0.1:2377\n", result.stdout)
        body = self.daemon.bodies("POST", "/swarm/init")[0]
        self.assertEqual((body["AdvertiseAddr"], body["ListenAddr"]), ("10.9.0.1", ""), "meshd knows where to listen")

    def test_join_and_leave(self):
        info = {"Swarm": {**INFO["Swarm"], "ControlAvailable": False}}
        result = self.run_with({"POST /swarm/join": (200, None), "GET /info": (200, info)}, "swarm", "join", "--token",
                               "SWMTKN-1-w", "10.9.0.1:2377")
        self.assert_ends(result, 0, "This node joined a swarm as a worker.\n")
        self.assertEqual(self.daemon.bodies("POST", "/swarm/join")[0]["RemoteAddrs"], ["10.9.0.1:2377"])
        self.assert_ends(self.run_with({"POST /swarm/leave": (200, None)}, "swarm", "leave", "--force"), 0,
                         "Node left the swarm.\n")
        self.assertEqual(self.daemon.asked[0][2], {"force": ["1"]})

    def test_join_token(self):
        answers = {"GET /swarm": (200, self.cluster), "GET /info": (200, INFO), "POST /swarm/update": (200, None)}
        self.assert_ends(self.run_with(answers, "swarm", "join-token", "-q", "manager"), 0, "SWMTKN-1-m\n")
        result = self.run_with(answers, "swarm", "join-token", "manager")
        self.assert_ends(result, 0)
        self.assertIn("one manager", result.stdout)
        self.assertNotIn("SWMTKN", result.stdout)
        self.assert_ends(self.run_with(answers, "swarm", "join-token", "--rotate", "worker"), 0)
        update = [entry for entry in self.daemon.asked if entry[0] == "POST"][0]
        self.assertEqual(update[2], {"version": ["9"], "rotateWorkerToken": ["true"]})
        self.assert_ends(self.run_with(answers, "swarm", "join-token", "king"), 1, "", "expected worker or manager")


class Doctor(Meshctl):
    def test_status_1_if_something_is_wrong(self):
        status = {"Version": "1", "Swarm": {"State": "active", "Manager": True}, "Nodes": []}
        kernel = {"Uplinks": [{"Name": "eth0", "Mode": "tc", "Why": "as asked"}], "Hooks": [], "Problems": [],
                  "Differences": []}
        answers = {"GET /mesh/status": (200, status), "GET /mesh/dataplane/status": (200, kernel),
                   "GET /services": (200, [service()])}
        result = self.run_with(answers, "doctor")
        self.assert_ends(result, 0)
        self.assertIn("uplink eth0: programs run as tc, as asked", result.stdout)
        kernel["Problems"] = ["8010/tcp: in use"]
        result = self.run_with(answers, "doctor")
        self.assert_ends(result, 1, err="meshctl: 1 problem\n")
        self.assertIn("[problem] kernel of this host: 8010/tcp: in use\n", result.stdout)


class Image(Meshctl):
    def test_pull_shows_progress_across_chunks(self):
        stream = ["stream", {"status": "Pulling fs layer", "id": "ab"}, {"status": "Downloading", "id": "ab"},
                  {"status": "Downloading", "id": "ab"}, {"status": "Digest: sha256:12"}]
        result = self.run_with({"POST /images/create": (200, stream)}, "image", "pull", "a/b:1")
        self.assert_ends(result, 0, "ab: Pulling fs layer\nab: Downloading\nDigest: sha256:12\n")
        self.assertEqual(self.daemon.asked[0][2], {"fromImage": ["a/b"], "tag": ["1"]})

    def test_pull_that_fails_on_the_way(self):
        stream = ["stream", {"status": "Pulling fs layer", "id": "ab"},
                  {"errorDetail": {"message": "layer is corrupt"}, "error": "layer is corrupt"}]
        self.assert_ends(self.run_with({"POST /images/create": (200, stream)}, "image", "pull", "a"), 1,
                         err="layer is corrupt")

    def test_pull_that_is_refused(self):
        answers = {"POST /images/create": (404, {"message": "manifest unknown"})}
        self.assert_ends(self.run_with(answers, "image", "pull", "a"), 1, "", "manifest unknown")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
