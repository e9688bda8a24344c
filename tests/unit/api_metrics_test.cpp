// /metrics: the text format, what is in it, its limit, and the TCP server that serves nothing else.
#include <netinet/in.h>
#include <regex>
#include <sys/socket.h>
#include <thread>

#include <boost/asio.hpp>
#include <fmt/format.h>

#include "base/fd.h"
#include "base/text.h"
#include "control/api/exposition.h"
#include "control/api/metrics.h"
#include "control/api/metrics_server.h"
#include "tests/unit/api_fixture.h"

namespace mesh::api {
namespace {

TEST(Exposition, FamiliesLabelsAndEscapes) {
  Exposition out(10);
  out.family("a_total", MetricType::kCounter, "back\\slash and\nline");
  out.sample({{"name", "quote \" back\\slash\nline"}, {"other", ""}}, std::uint64_t{18446744073709551615ULL});
  out.sample({}, 0.25);
  out.family("none", MetricType::kGauge, "a family without samples is not shown");
  out.single("b", MetricType::kGauge, "one", std::uint64_t{7});
  EXPECT_EQ(out.take(),
            "# HELP a_total back\\\\slash and\\nline\n"
            "# TYPE a_total counter\n"
            "a_total{name=\"quote \\\" back\\\\slash\\nline\",other=\"\"} 18446744073709551615\n"
            "a_total 0.25\n"
            "# HELP b one\n"
            "# TYPE b gauge\n"
            "b 7\n");
}

TEST(Exposition, WhatIsOverTheLimitIsCounted) {
  Exposition out(2);
  out.family("a", MetricType::kGauge, "limited");
  for (std::uint64_t i = 0; i < 5; ++i) out.sample({{"i", std::to_string(i)}}, i);
  out.single("b", MetricType::kGauge, "each family has its own", std::uint64_t{1});
  EXPECT_EQ(out.left_out(), 3U);
  EXPECT_EQ(out.take(),
            "# HELP a limited\n# TYPE a gauge\na{i=\"0\"} 0\na{i=\"1\"} 1\n"
            "# HELP b each family has its own\n# TYPE b gauge\nb 1\n");
}

// What a reader of the format insists on: each family announced once, before its samples, which are well-formed.
void expect_well_formed(const std::string& text) {
  ASSERT_TRUE(text.ends_with('\n'));
  std::set<std::string> announced;
  std::string current;
  static const std::regex kSample(
      R"(([a-z_]+)(\{[a-z_]+="([^"\\\n]|\\.)*"(,[a-z_]+="([^"\\\n]|\\.)*")*\})? [0-9.e+-]+)");
  for (const std::string_view line : split(text.substr(0, text.size() - 1), '\n')) {
    const std::vector<std::string_view> words = split(line, ' ');
    if (line.starts_with("# HELP ")) {
      current = words[2];
      EXPECT_TRUE(announced.insert(current).second) << current << " twice";
      EXPECT_TRUE(current.starts_with("meshd_")) << current;
    } else if (line.starts_with("# TYPE ")) {
      EXPECT_EQ(words[2], current);
      EXPECT_EQ(words[3] == "counter", current.ends_with("_total")) << line;
    } else {
      std::smatch found;
      const std::string sample(line);
      ASSERT_TRUE(std::regex_match(sample, found, kSample)) << line;
      EXPECT_EQ(found[1], current) << line;
    }
  }
}

NodeMetrics some_metrics() {
  NodeMetrics node;
  node.in_kernel = true;
  node.ports = {{"web", "tcp", 8010, {10, 1000}}};
  node.backends = {{.service = "web",
                    .task = "web.1.abc",
                    .protocol = "tcp",
                    .port = 8010,
                    .in = {5, 500},
                    .out = {4, 400},
                    .connections = 3,
                    .resets_in = 2,
                    .resets_out = 1,
                    .flows = 6}};
  node.drops = {{"no_backend", 9}, {"ttl", 0}};
  node.events = {{"entry", 11}};
  node.flow_records = 7;
  node.flow_records_max = 70;
  node.maps = {{"mesh_flows", 16}};
  node.number = 2;
  node.tables = {3, 4};
  node.drift = 8;
  return node;
}

class Metrics : public ApiTest {
 protected:
  Context context_{node_, swarm_, {"1.2.3", "", "", ""}, [] {
                     model::NodeDescription description;
                     description.hostname = "host\"1";
                     return description;
                   }};
};

TEST_F(Metrics, OfAHost) {
  const std::string text = metrics_text(context_, some_metrics());
  expect_well_formed(text);
  for (const char* line : {
           "meshd_info{version=\"1.2.3\",node=\"host\\\"1\",node_id=\"\",number=\"2\"} 1\n",
           "meshd_service_entry_packets_total{service=\"web\",protocol=\"tcp\",port=\"8010\"} 10\n",
           "meshd_backend_in_bytes_total{service=\"web\",task=\"web.1.abc\",protocol=\"tcp\",port=\"8010\"} 500\n",
           "meshd_backend_connections_total{service=\"web\",task=\"web.1.abc\",protocol=\"tcp\",port=\"8010\"} 3\n",
           "meshd_backend_client_resets_total{service=\"web\",task=\"web.1.abc\",protocol=\"tcp\",port=\"8010\"} 2\n",
           "meshd_backend_resets_total{service=\"web\",task=\"web.1.abc\",protocol=\"tcp\",port=\"8010\"} 1\n",
           "meshd_drops_total{reason=\"no_backend\"} 9\n",
           "meshd_drops_total{reason=\"ttl\"} 0\n",
           "meshd_events_total{event=\"entry\"} 11\n",
           "meshd_flow_records 7\n",
           "meshd_map_memory_bytes{map=\"mesh_flows\"} 16\n",
           "meshd_tables_version 4\n",
           "meshd_drift_total 8\n",
           "meshd_session_up 0\n",
           "meshd_is_manager 0\n",
           "meshd_metrics_left_out 0\n",
       }) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\nin:\n" << text;
  }
  EXPECT_NE(text.find("\nmeshd_process_resident_memory_bytes "), std::string::npos);
  EXPECT_EQ(text.find("meshd_manager_tasks"), std::string::npos);
}

TEST_F(Metrics, OfAManager) {
  make_manager();
  swarm_.held["node1"] = {};
  const std::string text = metrics_text(context_, NodeMetrics());
  expect_well_formed(text);
  for (const char* line : {"meshd_is_manager 1\n", "meshd_manager_sessions 1\n", "meshd_manager_nodes_behind 1\n",
                           "meshd_manager_tasks{state=\"running\"} 0\n", "meshd_manager_nodes{state=\"ready\"} 1\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\nin:\n" << text;
  }
  EXPECT_EQ(text.find("meshd_flow_records"), std::string::npos) << "no kernel, no figures of it";
}

TEST_F(Metrics, ManyPortsAreCutAndCounted) {
  NodeMetrics node = some_metrics();
  node.ports.assign(5, node.ports.front());
  for (std::size_t i = 0; i < node.ports.size(); ++i) node.ports[i].port = static_cast<std::uint16_t>(i);
  const std::string text = metrics_text(context_, node, 3);
  EXPECT_NE(text.find("port=\"2\"}"), std::string::npos);
  EXPECT_EQ(text.find("port=\"3\"}"), std::string::npos);
  EXPECT_EQ(text.find("meshd_metrics_left_out 0\n"), std::string::npos);
}

TEST_F(Metrics, AreARouteOfTheApi) {
  node_.counted = some_metrics();
  Request request;
  request.method = "GET";
  request.path = "/metrics";
  const auto recorder = std::make_shared<Recorder>();
  dispatch(context_, request, recorder);
  ASSERT_TRUE(recorder->answered);
  EXPECT_EQ(recorder->answer.status, 200);
  EXPECT_EQ(recorder->answer.headers.at("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  expect_well_formed(recorder->answer.body);
}

class MetricsOnTcp : public Metrics {
 protected:
  MetricsOnTcp() {
    const auto open = server_.listen({*IpAddress::parse("127.0.0.1"), 0});
    EXPECT_TRUE(open);
    if (open) port_ = open->port;
    thread_ = std::thread([this] {
      const auto work = boost::asio::make_work_guard(loop_);
      loop_.run();
    });
  }
  ~MetricsOnTcp() override {
    boost::asio::post(loop_, [this] {
      server_.stop();
      loop_.stop();
    });
    thread_.join();
  }
  std::string ask(const std::string& head) const {
    const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const timeval limit{20, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    const std::string request = head + " HTTP/1.1\r\nHost: here\r\n\r\n";
    EXPECT_EQ(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    std::string text;
    char buffer[4096];
    for (ssize_t count = 0; (count = ::recv(fd.get(), buffer, sizeof buffer, 0)) > 0;) {
      text.append(buffer, static_cast<std::size_t>(count));
    }
    return text;
  }

  boost::asio::io_context loop_{1};
  MetricsServer server_{loop_, context_};
  std::uint16_t port_ = 0;
  std::thread thread_;
};

TEST_F(MetricsOnTcp, ServesThemAndNothingElse) {
  const std::string metrics = ask("GET /metrics");
  EXPECT_TRUE(metrics.starts_with("HTTP/1.1 200 OK\r\n")) << metrics;
  EXPECT_NE(metrics.find("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), std::string::npos);
  const std::size_t head_end = metrics.find("\r\n\r\n");
  ASSERT_NE(head_end, std::string::npos);
  expect_well_formed(metrics.substr(head_end + 4));
  EXPECT_TRUE(ask("GET /metrics?name=x").starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(ask("GET /info").starts_with("HTTP/1.1 404"));
  EXPECT_TRUE(ask("GET /v1.41/nodes").starts_with("HTTP/1.1 404"));
  EXPECT_TRUE(ask("DELETE /metrics").starts_with("HTTP/1.1 405"));
}

TEST_F(MetricsOnTcp, AnAddressThatIsNotHereIsRefused) {
  boost::asio::io_context loop;
  MetricsServer other(loop, context_);
  const auto refused = other.listen({*IpAddress::parse("192.0.2.77"), 9100});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("metrics-addr: cannot listen on 192.0.2.77:9100"), std::string::npos);
}

}  // namespace
}  // namespace mesh::api
