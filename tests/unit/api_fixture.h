// The API's handlers on a real manager with a real store in a temporary directory; only the host itself is a fake.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/file.h"
#include "control/api/router.h"
#include "control/manager/manager.h"
#include "control/store/sqlite_store.h"

namespace mesh::api {

struct FakeNode final : LocalNode {
  [[nodiscard]] ContainerCounts container_counts() const override { return {2, 0, 1}; }
  [[nodiscard]] LimitSupport limits() const override { return supported_limits; }
  [[nodiscard]] std::vector<UplinkState> uplinks() const override {
    return {{"eth0", "tc", "chosen because of veth", {IpAddress::parse("192.0.2.1").value()}, 1500}};
  }
  [[nodiscard]] std::vector<ImageSummary> images() const override { return image_list; }
  [[nodiscard]] Result<ImageDetail> image(std::string_view name) const override {
    for (const ImageSummary& summary : image_list) {
      for (const std::string& tag : summary.repo_tags) {
        if (tag == name) return ImageDetail{summary, "amd64", "linux", "", {"sha256:1"}, JsonObject{{"Cmd", nullptr}}};
      }
    }
    return fail(ErrorKind::kNotFound, "No such image: " + std::string(name));
  }
  void pull_image(const std::string& reference, const RegistryAuth& auth,
                  std::function<void(const PullProgress&)> progress,
                  std::function<void(Result<std::string>)> done) override {
    pulled = reference;
    pulled_by = auth.username;
    for (const PullProgress& line : pull_lines) progress(line);
    done(pull_result);
  }
  void resolve_image(const std::string& reference, const RegistryAuth&,
                     std::function<void(Result<RemoteImage>)> done) override {
    resolved = reference;
    done(RemoteImage{"sha256:abc", "application/vnd.oci.image.index.v1+json", 7, {{"amd64", "linux", ""}}});
  }
  [[nodiscard]] std::vector<model::NetworkRow> networks() const override {
    return {{.id = "n1", .name = "back", .subnet_v4 = Cidr::parse("10.1.0.0/24").value()},
            {.id = "n0", .name = "ingress", .subnet_v4 = Cidr::parse("10.0.0.0/16").value(), .ingress = true}};
  }
  void dataplane(DataplanePart part, std::function<void(Result<Json>)> done) override {
    done(Json(JsonObject{{"Part", static_cast<int>(part)}}));
  }

  void metrics(std::function<void(Result<NodeMetrics>)> done) override { done(counted); }

  Result<NodeMetrics> counted = NodeMetrics();
  std::vector<ImageSummary> image_list{{"sha256:1", {"nginx:1"}, {"nginx@sha256:9"}, Time{}, 100, {{"a", "b"}}}};
  LimitSupport supported_limits;
  std::vector<PullProgress> pull_lines;
  Result<std::string> pull_result = std::string("sha256:abc");
  std::string pulled, pulled_by, resolved;
};

struct FakeSwarm final : Swarm {
  [[nodiscard]] SwarmInfo info() const override { return shown; }
  [[nodiscard]] manager::Manager* manager() override { return real.get(); }
  void init(const SwarmInit& request, std::function<void(Result<std::string>)> done) override {
    init_request = request;
    done(std::string("node1"));
  }
  void join(const SwarmJoin& request, std::function<void(Status)> done) override {
    join_request = request;
    done(fail(ErrorKind::kUnauthorized, "wrong secret"));
  }
  void leave(bool force, std::function<void(Status)> done) override {
    done(force ? Status{} : fail(ErrorKind::kUnavailable, "participating as a manager"));
  }
  [[nodiscard]] Result<model::JoinTokens> join_tokens() override { return model::JoinTokens{"W", "M"}; }
  Status rotate_tokens(bool worker, bool) override {
    rotations += worker ? 1 : 0;
    return {};
  }
  void changed() override { ++changes; }
  void wait_until(std::function<bool()> condition, Duration, std::function<void(bool)> done) override {
    done(condition());
  }
  void ask_ports(const std::vector<model::PortConfig>& ports, const std::set<std::string>& nodes,
                 std::function<void(Status)> done) override {
    Status free;
    asked_nodes.push_back(nodes);
    for (const model::PortConfig& port : ports) {
      asked_ports.push_back(fmt::format("{}/{}", port.published_port, model::protocol_name(model::protocol_of(port))));
      if (used_ports.contains(asked_ports.back())) {
        free =
            fail(ErrorKind::kConflict, "port " + asked_ports.back() + " is already in use on host2 by httpd (pid 7)");
      }
    }
    done(free);
  }
  void ask_trace(const std::string& node_id, const model::TraceQuestion& question, std::function<bool()> wanted,
                 std::function<void(Result<model::TraceAnswer>)> done) override {
    trace_wanted = std::move(wanted);
    traced.emplace_back(node_id, question);
    if (trace_answers.empty()) return done(fail(ErrorKind::kTimeout, "the host does not answer"));
    const model::TraceAnswer answer = trace_answers.front();
    trace_answers.erase(trace_answers.begin());
    done(answer);
  }
  void ask_probe(const std::string& node_id, const model::ProbeQuestion& question,
                 std::function<void(Result<model::ProbeAnswer>)> done) override {
    probed.emplace_back(node_id, question);
    if (mute_hosts.contains(node_id)) return done(fail(ErrorKind::kTimeout, "the host does not answer"));
    model::ProbeAnswer answer;
    if (question.step == model::ProbeStep::kTell) answer.heard = heard_probes[node_id];
    done(answer);
  }
  [[nodiscard]] const std::map<std::string, model::TableVersion>& acknowledged() const override { return held; }
  [[nodiscard]] Json session_status() const override { return JsonObject{}; }

  std::unique_ptr<manager::Manager> real;
  SwarmInfo shown;
  SwarmInit init_request;
  SwarmJoin join_request;
  std::map<std::string, model::TableVersion> held;
  std::vector<std::string> asked_ports;            // "8010/tcp"
  std::vector<std::set<std::string>> asked_nodes;  // of each question
  std::set<std::string> used_ports;                // by programs of a host
  std::vector<std::pair<std::string, model::TraceQuestion>> traced;
  std::function<bool()> trace_wanted;             // of the last one
  std::vector<model::TraceAnswer> trace_answers;  // one for each question
  std::vector<std::pair<std::string, model::ProbeQuestion>> probed;
  std::map<std::string, std::vector<model::HeardProbe>> heard_probes;  // by the host that heard them
  std::set<std::string> mute_hosts;
  int rotations = 0;
  int changes = 0;
};

// Keeps what a handler answered.
struct Recorder final : Responder {
  void send(Response response) override {
    EXPECT_FALSE(answered) << "answered twice";
    answered = true;
    answer = std::move(response);
  }
  void begin(Response head) override {
    streaming = true;
    send(std::move(head));
  }
  void write(std::string piece) override { answer.body += piece; }
  void end() override { ended = true; }
  [[nodiscard]] bool closed() const override { return false; }

  Response answer;
  bool answered = false, streaming = false, ended = false;
};

class ApiTest : public testing::Test {
 protected:
  ApiTest() {
    char name[] = "/tmp/mesh-api-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~ApiTest() override {
    swarm_.real.reset();
    (void)remove_tree(directory_);
  }

  // A cluster of one ready node.
  void make_manager() {
    auto store = store::open_sqlite_store(directory_ + "/store.db");
    ASSERT_TRUE(store) << store.error().message;
    auto opened = manager::Manager::open(std::move(*store), now_);
    ASSERT_TRUE(opened) << opened.error().message;
    swarm_.real = std::move(*opened);
    model::Cluster cluster;
    cluster.id = "cluster1";
    cluster.default_addr_pool = {"10.0.0.0/8"};
    cluster.mesh.emplace();
    ASSERT_TRUE(swarm_.real->init_cluster(cluster, {}, now_));
    manager::NodeJoin node;
    node.id = "node1";
    node.hostname = "host1";
    node.role = model::NodeRole::kManager;
    node.this_manager = true;
    ASSERT_TRUE(swarm_.real->add_node(node, now_));
    manager::SessionStart session;
    session.description.hostname = "host1";
    session.description.platform = {"x86_64", "linux"};
    session.description.resources.nano_cpus = 2'000'000'000;
    session.description.resources.memory_bytes = 4LL << 30;
    session.address = IpAddress::v4(0xc0a80101);
    const auto opened_session = swarm_.real->session_opened("node1", session, now_);
    ASSERT_TRUE(opened_session) << opened_session.error().message;
    ASSERT_TRUE(swarm_.real->tick(now_));
    swarm_.shown.state = SwarmState::kActive;
    swarm_.shown.node_id = "node1";
  }

  Response ask(const std::string& method, const std::string& target, const std::string& body = "",
               const std::map<std::string, std::string>& headers = {}) {
    Request request;
    request.method = method;
    request.body = body;
    request.headers = headers;
    const Status parsed = set_target(request, target);
    EXPECT_TRUE(parsed);
    const auto recorder = std::make_shared<Recorder>();
    dispatch(context_, std::move(request), recorder);
    EXPECT_TRUE(recorder->answered) << method << " " << target;
    return recorder->answer;
  }
  Json json(const std::string& method, const std::string& target, int status, const std::string& body = "") {
    const Response response = ask(method, target, body);
    EXPECT_EQ(response.status, status) << method << " " << target << ": " << response.body;
    const Result<Json> value = parse_json(response.body);
    EXPECT_TRUE(value) << response.body;
    return value ? *value : Json();
  }
  // The message of an error.
  std::string message(const std::string& method, const std::string& target, int status, const std::string& body = "") {
    const Json value = json(method, target, status, body);
    const Json* text = value.is_object() ? value.as_object().if_contains("message") : nullptr;
    EXPECT_NE(text, nullptr) << method << " " << target;
    return text == nullptr ? "" : std::string(std::string_view(text->as_string()));
  }
  static std::string text_of(const Json& value, std::string_view pointer) {
    boost::system::error_code error;
    const Json* found = value.find_pointer(boost::json::string_view(pointer.data(), pointer.size()), error);
    return found != nullptr && found->is_string() ? std::string(std::string_view(found->as_string())) : "";
  }
  static std::int64_t number_of(const Json& value, std::string_view pointer) {
    boost::system::error_code error;
    const Json* found = value.find_pointer(boost::json::string_view(pointer.data(), pointer.size()), error);
    return found == nullptr ? -1 : found->to_number<std::int64_t>(error);
  }

  std::string create_service(const std::string& name, const std::string& more = "") {
    return text_of(
        json("POST", "/v1.41/services/create", 201,
             R"({"Name":")" + name + R"(","TaskTemplate":{"ContainerSpec":{"Image":"nginx:1"}})" + more + "}"),
        "/ID");
  }

  std::string directory_;
  Time now_ = wall_now();
  FakeNode node_;
  FakeSwarm swarm_;
  Context context_{node_, swarm_, {"0.1.0", "", "", "/var/lib/meshd"}, [] {
                     model::NodeDescription host;
                     host.hostname = "host1";
                     host.platform = {"x86_64", "linux"};
                     host.resources.nano_cpus = 2'000'000'000;
                     return host;
                   }};
};

}  // namespace mesh::api
