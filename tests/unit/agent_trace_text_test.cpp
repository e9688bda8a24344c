// What `meshctl trace` says of one program's run: names instead of numbers, and why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/agent/trace_text.h"

namespace mesh::agent {
namespace {

using dataplane::TracedPacket;
using dataplane::TraceRun;
using testing::ElementsAre;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

model::EndpointTables make_tables() {
  model::EndpointTables tables;
  tables.nodes = {{"n1", 1, "host1", ip("192.0.2.1"), {ip("192.0.2.1")}, true},
                  {"n2", 2, "host2", ip("192.0.2.2"), {ip("192.0.2.2")}, true}};
  model::PortRow port;
  port.protocol = "tcp";
  port.published = 8010;
  port.backends = {{"t1", 1, 11, model::EndpointState::kReady}, {"t2", 2, 21, model::EndpointState::kReady}};
  tables.services = {{"s1", "web", false, {}, {port}}};
  model::EndpointRow row;
  row.task_id = "t1";
  row.name = "web.1.t1";
  row.node = 1;
  row.ingress_v4 = ip("10.0.0.5");
  tables.endpoints = {row};
  return tables;
}

TracedPacket client_packet() { return {{ip("203.0.113.9"), 40000}, {ip("192.0.2.1"), 8010}, 6, dataplane::kTcpSyn}; }

class TraceText : public testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> text(const TraceRun& run) const {
    dataplane::TracedFrame before;
    before.packet = client_packet();
    return run_text(names_, before, run);
  }
  model::EndpointTables tables_ = make_tables();
  TraceNames names_{tables_, 1};
};

TEST_F(TraceText, NamesForNumbers) {
  EXPECT_EQ(names_.node(1), "host1 (this host)");
  EXPECT_EQ(names_.node(2), "host2");
  EXPECT_EQ(names_.node(9), "node number 9");
  EXPECT_EQ(names_.backend(1, 11), "task web.1.t1 on host1 (this host)");
  EXPECT_EQ(names_.backend(2, 99), "binding 99 on host2");
  EXPECT_EQ(names_.port(client_packet()), "service web, port 8010/tcp");
  EXPECT_EQ(names_.number_at(ip("192.0.2.2")), 2);
  EXPECT_EQ(names_.number_at(ip("192.0.2.9")), 0);
  ASSERT_NE(names_.endpoint(ip("10.0.0.5")), nullptr);
  EXPECT_EQ(names_.endpoint(IpAddress()), nullptr);
  EXPECT_EQ(packet_text(client_packet()), "tcp 203.0.113.9:40000 -> 192.0.2.1:8010 SYN");
}

TEST_F(TraceText, ADeliveredFlowThatIsNew) {
  TraceRun run;
  run.verdict = TraceRun::Verdict::kRedirect;
  run.events = {"flow_created"};
  run.slot = dataplane::TracedSlot{.version = 3, .slot = 17, .slots = 256, .moved = true, .node = 1, .binding = 11};
  run.endpoint_ifindex = 7;
  run.frame = dataplane::make_frame({{ip("203.0.113.9"), 40000}, {ip("10.0.0.5"), 80}, 6, dataplane::kTcpSyn}, {}, {});
  EXPECT_THAT(
      text(run),
      ElementsAre("service web, port 8010/tcp: ring version 3, slot 17 of 256 belongs to task web.1.t1 on host1 "
                  "(this host); moved: other hosts may know its flows",
                  "flow: no record here; one is made", "would count flow_created",
                  "=> delivered to task web.1.t1 as tcp 203.0.113.9:40000 -> 10.0.0.5:80 SYN"));
}

TEST_F(TraceText, AFlowThatIsKnown) {
  TraceRun run;
  run.verdict = TraceRun::Verdict::kRedirect;
  run.flow = dataplane::FlowRecord{.client = {ip("203.0.113.9"), 40000},
                                   .backend = {ip("10.0.0.5"), 80},
                                   .task_id = "t1",
                                   .entry = 2,
                                   .state = "established",
                                   .idle_seconds = 4};
  run.frame =
      dataplane::make_frame({{ip("192.0.2.1"), 8010}, {ip("203.0.113.9"), 40000}, 6, dataplane::kTcpAck}, {}, {});
  EXPECT_THAT(text(run), ElementsAre("flow: record found, established, idle 4 s: task web.1.t1 at 10.0.0.5:80, client "
                                     "203.0.113.9:40000 entered by host2",
                                     "=> sent on to 203.0.113.9 as tcp 192.0.2.1:8010 -> 203.0.113.9:40000 ACK"));
}

TEST_F(TraceText, DropsHaveTheirReason) {
  TraceRun run;
  run.verdict = TraceRun::Verdict::kDrop;
  run.drops = {"no_node: the way is not known"};
  run.slot = dataplane::TracedSlot{.version = 3, .slot = 1, .slots = 256};
  EXPECT_THAT(text(run),
              ElementsAre("service web, port 8010/tcp: ring version 3, slot 1 of 256 has no owner: no backend "
                          "is ready",
                          "drop reason no_node: the way is not known", "=> dropped"));
}

TEST_F(TraceText, WhatIsNotOursIsPassed) {
  EXPECT_THAT(text({}), ElementsAre("=> passed to this host's stack: not decided here"));
}

}  // namespace
}  // namespace mesh::agent
