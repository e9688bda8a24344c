#include <gtest/gtest.h>

#include "control/meshctl/pretty.h"
#include "control/meshctl/rows.h"
#include "control/meshctl/status.h"
#include "control/meshctl/wording.h"

namespace mesh::meshctl {
namespace {

const Time kNow = *parse_time("2026-03-01T12:00:00Z");
const RowOptions kOptions{true, true, kNow};

template <class T>
T object(std::string_view json) {
  auto value = decode_text<T>(json);
  EXPECT_TRUE(value) << value.error().message;
  return *value;
}

model::PortConfig port(std::uint16_t published, std::uint16_t target, model::PortProtocol protocol,
                       model::PublishMode mode = model::PublishMode::kIngress) {
  model::PortConfig config;
  config.published_port = published;
  config.target_port = target;
  config.protocol = protocol;
  config.publish_mode = mode;
  return config;
}

TEST(Wording, PortsAsRanges) {
  using enum model::PortProtocol;
  const auto ingress = model::PublishMode::kIngress;
  EXPECT_EQ(format_ports({port(8010, 80, kTcp)}, ingress), "*:8010->80/tcp");
  EXPECT_EQ(format_ports({port(8002, 82, kTcp), port(8000, 80, kTcp), port(8001, 81, kTcp)}, ingress),
            "*:8000-8002->80-82/tcp");
  EXPECT_EQ(format_ports({port(8000, 80, kTcp), port(8001, 80, kTcp)}, ingress), "*:8000->80/tcp, *:8001->80/tcp");
  EXPECT_EQ(format_ports({port(53, 53, kUdp), port(53, 53, kTcp)}, ingress), "*:53->53/tcp, *:53->53/udp");
  EXPECT_EQ(format_ports({port(80, 80, kTcp, model::PublishMode::kHost)}, ingress), "");
  EXPECT_EQ(format_ports({port(80, 80, kTcp, model::PublishMode::kHost), port(80, 80, kTcp, model::PublishMode::kHost)},
                         model::PublishMode::kHost),
            "*:80->80/tcp");
  EXPECT_EQ(format_ports({port(0, 80, kTcp)}, ingress), "");
}

TEST(Wording, SizesIdsAgesImages) {
  EXPECT_EQ(format_size(999), "999B");
  EXPECT_EQ(format_size(12'345'678), "12.3MB");
  EXPECT_EQ(format_memory(64 << 20), "64MiB");
  EXPECT_EQ(short_id("sha256:0123456789abcdef"), "0123456789ab");
  EXPECT_EQ(short_id("0123456789abcdefghijklmno"), "0123456789ab");
  EXPECT_EQ(ago(kNow - std::chrono::seconds(5), kNow), "5 seconds ago");
  EXPECT_EQ(ago(kNow + std::chrono::seconds(5), kNow), "Less than a second ago");
  EXPECT_EQ(without_digest("a:1@sha256:22"), "a:1");
}

TEST(NodeRows, MarkTheNodeThatWasAsked) {
  const auto nodes = object<std::vector<model::Node>>(R"([
    {"ID":"id10","Spec":{"Role":"worker","Availability":"drain"},"Description":{"Hostname":"node10","Engine":{"EngineVersion":"1"}},
     "Status":{"State":"down"}},
    {"ID":"id2","Spec":{"Role":"manager","Availability":"active"},"Description":{"Hostname":"node2","Engine":{"EngineVersion":"1"}},
     "Status":{"State":"ready"},"ManagerStatus":{"Leader":true,"Reachability":"reachable"}}])");
  EXPECT_EQ(*render_list(kNodeView, "", node_rows(nodes, "id2")),
            "ID        HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION\n"
            "id2 *     node2      Ready     Active         Leader           1\n"
            "id10      node10     Down      Drain                           1\n");
}

TEST(ServiceRows, Table) {
  const auto services = object<std::vector<model::Service>>(R"([
    {"ID":"abcdefghijklmnop","Spec":{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"nginx:1@sha256:99"},
       "Placement":{"MaxReplicas":2}},"Mode":{"Replicated":{"Replicas":3}}},
     "Endpoint":{"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8010,"PublishMode":"ingress"}]},
     "ServiceStatus":{"RunningTasks":1,"DesiredTasks":3}},
    {"ID":"bcdefghijklmnopq","Spec":{"Name":"agent","TaskTemplate":{"ContainerSpec":{"Image":"agent"}},"Mode":{"Global":{}}},
     "ServiceStatus":{"RunningTasks":2,"DesiredTasks":2}}])");
  EXPECT_EQ(*render_list(kServiceView, "", service_rows(services, kOptions)),
            "ID             NAME      MODE         REPLICAS               IMAGE     PORTS\n"
            "bcdefghijklm   agent     global       2/2                    agent     \n"
            "abcdefghijkl   web       replicated   1/3 (max 2 per node)   nginx:1   *:8010->80/tcp\n");
}

model::Task task(std::string_view id, std::uint64_t slot, std::string_view created, std::string_view state,
                 std::string_view desired, std::string_view err = "") {
  auto json =
      *parse_json(R"({"Spec":{"ContainerSpec":{"Image":"nginx:1@sha256:99"}},"ServiceID":"svc","NodeID":"n1"})");
  auto& fields = json.as_object();
  fields["ID"] = id;
  fields["Slot"] = slot;
  fields["CreatedAt"] = created;
  fields["Status"] = JsonObject{{"State", state}, {"Err", err}, {"Timestamp", created}};
  fields["DesiredState"] = desired;
  return *decode<model::Task>(json);
}

TEST(TaskRows, NewestFirstInASlotAndOlderOnesBelow) {
  const std::vector<model::Task> tasks{
      task("t3", 10, "2026-03-01T11:59:00Z", "running", "running"),
      task("t1", 1, "2026-03-01T11:50:00Z", "failed", "shutdown", "task: non-zero exit (137): killed by the kernel"),
      task("t2", 1, "2026-03-01T11:59:55Z", "running", "running"),
      task("t4", 2, "2026-03-01T11:59:50Z", "pending", "running", "no suitable node")};
  EXPECT_EQ(
      *render_list(kTaskView,
                   "table {{.ID}}\\t{{.Name}}\\t{{.Image}}\\t{{.Node}}\\t{{.DesiredState}}\\t"
                   "{{.CurrentState}}\\t{{.Error}}",
                   task_rows(tasks, {{"svc", "web"}}, {{"n1", "node1"}}, kOptions)),
      "ID        NAME        IMAGE     NODE      DESIRED STATE   CURRENT STATE                ERROR\n"
      "t2        web.1       nginx:1   node1     Running         Running 5 seconds ago        \n"
      "t1         \\_ web.1   nginx:1   node1     Shutdown        Failed 10 minutes ago        "
      "\"task: non-zero exit (137): ki…\"\n"
      "t4        web.2       nginx:1   node1     Running         Pending 10 seconds ago       \"no suitable node\"\n"
      "t3        web.10      nginx:1   node1     Running         Running about a minute ago   \n");
}

TEST(TaskRows, FullTextAndIdsOnRequest) {
  const std::vector<model::Task> tasks{
      task("t1", 1, "2026-03-01T11:50:00Z", "failed", "shutdown", "task: non-zero exit (137): killed by the kernel")};
  const auto rows = task_rows(tasks, {{"svc", "web"}}, {{"n1", "node1"}}, {false, false, kNow});
  EXPECT_EQ(rows[0].at("Name"), "svc.1");
  EXPECT_EQ(rows[0].at("Node"), "n1");
  EXPECT_EQ(rows[0].at("Image"), "nginx:1@sha256:99");
  EXPECT_EQ(rows[0].at("Error"), "\"task: non-zero exit (137): killed by the kernel\"");
}

TEST(TaskRows, GlobalTasksAreNamedByNode) {
  const auto rows =
      task_rows({task("t1", 0, "2026-03-01T11:50:00Z", "running", "running")}, {{"svc", "agent"}}, {}, kOptions);
  EXPECT_EQ(rows[0].at("Name"), "agent.n1");
}

TEST(ImageRows, OnePerTag) {
  const auto images = *parse_json(R"([
    {"Id":"sha256:aaaaaaaaaaaaaaaa","RepoTags":["nginx:1","host:5000/nginx:2"],"RepoDigests":["nginx@sha256:11"],
     "Created":1772366400,"Size":5000000},
    {"Id":"sha256:bbbbbbbbbbbbbbbb","RepoTags":[],"RepoDigests":["iotd@sha256:22"],"Created":1772362800,"Size":10}])");
  EXPECT_EQ(*render_list(kImageView, "{{.Repository}} {{.Tag}} {{.ID}} {{.Size}}", *image_rows(images, kOptions)),
            "nginx 1 aaaaaaaaaaaa 5MB\n"
            "host:5000/nginx 2 aaaaaaaaaaaa 5MB\n"
            "iotd <none> bbbbbbbbbbbb 10B\n");
  EXPECT_FALSE(image_rows(*parse_json(R"([{"Id":5}])"), kOptions));
}

TEST(NetworkRows, SortedByName) {
  const auto networks = object<std::vector<model::Network>>(R"([
    {"Name":"net10","Id":"2","Scope":"swarm","Driver":"overlay"},{"Name":"net9","Id":"1","Scope":"swarm","Driver":"overlay"}])");
  EXPECT_EQ(*render_list(kNetworkView, "{{.Name}} {{.ID}}", network_rows(networks, kOptions)), "net9 1\nnet10 2\n");
}

TEST(Pretty, ShowsWhatASpecSays) {
  const auto service = object<model::Service>(R"({"ID":"abc","Spec":{"Name":"web","Labels":{"a":"b"},
    "TaskTemplate":{"ContainerSpec":{"Image":"nginx","Args":["-x"]},"Resources":{"Limits":{"NanoCPUs":500000000,"MemoryBytes":67108864}}},
    "Mode":{"Replicated":{"Replicas":3}},"UpdateConfig":{"Parallelism":2,"FailureAction":"pause"}},
    "Endpoint":{"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8010}]},
    "UpdateStatus":{"State":"paused","Message":"task failed"}})");
  const auto text = pretty_service(service);
  for (const char* part :
       {"Name:                   web\n", " - a=b\n", " Replicas:              3\n", " CPU limit:             0.5\n",
        " Memory limit:          64MiB\n", "*:8010->80/tcp", " paused", " Args:                  -x\n"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nin\n" << text;
  }
}

constexpr const char* kStatus = R"({"Version":"0.1.0",
  "Swarm":{"State":"active","NodeID":"a","NodeAddr":"10.9.0.1","Manager":true,"Session":true},
  "Tables":{"Epoch":2,"Version":7},
  "Sessions":{"ClusterPort":{"Connections":5,"HandshakesFailed":1,"JoinsRefused":0,"Sessions":2}},
  "Nodes":[{"ID":"b","Hostname":"node2","State":"ready","Address":"10.9.0.2","Number":2,"Session":true,
            "Acknowledged":{"Epoch":2,"Version":6},"Problems":["port 8010 is in use"]},
           {"ID":"a","Hostname":"node1","State":"ready","Address":"10.9.0.1","Number":1,"Session":true,
            "Acknowledged":{"Epoch":2,"Version":7}},
           {"ID":"c","Hostname":"node3","State":"down","Address":"10.9.0.3","Number":3,"Session":false}],
  "Problems":["3 tasks get no connections"]})";

TEST(Status, ShowsTheTablesInEachKernel) {
  EXPECT_EQ(*render_status(*parse_json(kStatus), {}),
            "meshd:          0.1.0\n"
            "Swarm:          active, manager\n"
            "Node:           a 10.9.0.1\n"
            "Tables:         2/7\n"
            "Cluster port:   connections 5, handshakes failed 1, sessions 2\n"
            "\n"
            "NODE      STATUS    ADDRESS    NUMBER    TABLES IN KERNEL\n"
            "node1 *   Ready     10.9.0.1   1         2/7 (current)\n"
            "node2     Ready     10.9.0.2   2         2/6 (behind)\n"
            "node3     Down      10.9.0.3   3         no session\n"
            "\nProblems:\n  3 tasks get no connections\n  node2: port 8010 is in use\n");
  EXPECT_EQ(*nodes_behind(*parse_json(kStatus)), std::vector<std::string>{"node2"});
}

TEST(Status, OfAHostInNoCluster) {
  EXPECT_EQ(*render_status(*parse_json(R"({"Version":"0.1.0","Swarm":{"State":"inactive"}})"), {}),
            "meshd:    0.1.0\nSwarm:    inactive\n");
}

}  // namespace
}  // namespace mesh::meshctl
