// Which flow records are due to go, and which slots they keep busy.
#include <arpa/inet.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bpf/lib/hash.h"
#include "dataplane/flow_scan.h"
#include "dataplane/layout.h"
#include "dataplane/plan.h"
#include "tests/unit/dataplane_samples.h"

namespace mesh::dataplane {
namespace {

using namespace samples;

constexpr std::uint32_t kNow = 1'000'000;

mesh_flow record(std::uint16_t binding, const char* client, std::uint16_t port) {
  mesh_flow flow{};
  flow.client = to_abi(ip(client));
  flow.original = to_abi(ip("192.168.7.11"));
  flow.client_port = htons(port);
  flow.given_port = flow.client_port;
  flow.original_port = htons(8010);
  flow.local_port = htons(80);
  flow.binding = binding;
  flow.kind = MESH_FLOW_BOTH;
  flow.protocol = 6;
  return flow;
}

TEST(FlowScan, StatesHaveNames) {
  const auto name = [](unsigned int state) {
    return flow_state({.record = {}, .tag = 1, .mark = MESH_FLOW_MARK(kNow, state)});
  };
  EXPECT_EQ(name(0), "new");
  EXPECT_EQ(name(MESH_FLOW_CONFIRMED), "established");
  EXPECT_EQ(name(MESH_FLOW_CONFIRMED | MESH_FLOW_CLIENT_FIN), "closing");
  EXPECT_EQ(name(MESH_FLOW_CONFIRMED | MESH_FLOW_CLIENT_FIN | MESH_FLOW_ENDPOINT_FIN), "closed");
  EXPECT_EQ(name(MESH_FLOW_RESET), "closed");
  EXPECT_EQ(name(MESH_FLOW_CONFIRMED | MESH_FLOW_DATAGRAMS), "new");
  EXPECT_EQ(name(MESH_FLOW_CONFIRMED | MESH_FLOW_DATAGRAMS | MESH_FLOW_ANSWERED), "established");
}

TEST(FlowScan, SilenceIsInSeconds) {
  EXPECT_EQ(seconds_since(MESH_FLOW_MARK(kNow - 100, 0), kNow, 8), 102U);
  EXPECT_EQ(seconds_since(MESH_FLOW_MARK(kNow - 100, 0), kNow, 7), 128U);
  EXPECT_EQ(seconds_since(MESH_FLOW_MARK(kNow + 1, 0), kNow, 8), 0U) << "another CPU's clock was ahead";
}

TEST(FlowScan, ForeignRecordsAreThoseOnMovedSlotsThatAreNotTheOwners) {
  Desired desired = cluster(3);  // backend 0 is on this host (binding 1), 1 and 2 on others
  Ring& ring = desired.ports[0].ring;
  // Where the flows of these ports belong.
  const auto slot_of = [](const mesh_flow& flow) {
    return mesh_ring_slot(
        mesh_ring_hash(&flow.client, &flow.original, flow.client_port, flow.original_port, flow.protocol), 8);
  };
  const mesh_flow own = record(1, "198.51.100.7", 4000);
  const mesh_flow foreign = record(1, "198.51.100.7", 4001);
  const mesh_flow unmoved = record(1, "198.51.100.7", 4002);
  const auto own_slot = static_cast<std::uint16_t>(slot_of(own));
  const auto foreign_slot = static_cast<std::uint16_t>(slot_of(foreign));
  const auto unmoved_slot = static_cast<std::uint16_t>(slot_of(unmoved));
  ASSERT_NE(own_slot, foreign_slot);
  ASSERT_NE(unmoved_slot, foreign_slot);
  ring.owners[own_slot] = 0;
  ring.foreign[own_slot] = {1, 2};
  ring.owners[foreign_slot] = 1;
  ring.foreign[foreign_slot] = {1};
  ring.owners[unmoved_slot] = 2;
  ring.version = 9;

  Observed kernel;
  HostFacts facts;
  for (const Action& action : plan(desired, facts, kernel).actions) track(kernel, action);
  ForeignSlots slots(kernel, 1);
  for (const mesh_flow& flow : {own, foreign, unmoved}) slots.add(flow);
  mesh_flow reverse = foreign;
  reverse.kind = MESH_FLOW_REVERSE;
  slots.add(reverse);
  mesh_flow other_port = foreign;
  other_port.original_port = htons(9999);
  slots.add(other_port);

  const std::vector<ForeignHeld> held = slots.result();
  ASSERT_EQ(held.size(), 1U);
  EXPECT_EQ(held[0].port, 8010);
  EXPECT_EQ(held[0].version, 9U);
  EXPECT_EQ(held[0].held, std::vector<std::uint16_t>{foreign_slot});
}

}  // namespace
}  // namespace mesh::dataplane
