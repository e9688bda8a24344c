// Flow records of another table: each goes to its place, the newer of two stays, and none displaces what is missed
// more.
#include <vector>

#include <gtest/gtest.h>

#include "bpf/lib/flow.h"
#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

const std::string kCarry = "mesh_carry";

mesh_flow record_of(__u16 client_port, __u8 kind = MESH_FLOW_BOTH) {
  mesh_flow record{};
  record.client = address("198.51.100.7");
  record.original = address("192.0.2.1");
  record.client_port = mesh_be16(client_port);
  record.given_port = record.client_port;
  record.original_port = mesh_be16(8001);
  record.local_port = mesh_be16(80);
  record.ifindex = 5;
  record.binding = 1;
  record.kind = kind;
  record.protocol = 6;
  return record;
}

Bytes order_of(const mesh_flow& record, __u32 mark) {
  const mesh_carry order{.record = record, .mark = mark, .reserved = 0};
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&order);
  return {bytes, bytes + sizeof order};
}

struct Kept {
  __u32 set = 0;
  __u32 mark = 0;
  mesh_flow record{};
};
std::vector<Kept> table(Kernel& kernel) {
  std::vector<Kept> records;
  for (__u32 index = 0; index < kFlowSets; index++) {
    mesh_flow_set set{};
    kernel.get("mesh_flows", &index, &set);
    for (__u32 way = 0; way < MESH_FLOW_WAYS; way++) {
      if (set.tag[way] != 0) records.push_back({index, set.mark[way], set.record[way]});
    }
  }
  return records;
}

mesh_config config_of(Kernel& kernel) {
  mesh_config config{};
  const __u32 index = 0;
  kernel.get("mesh_config", &index, &config);
  return config;
}

TEST(Carry, ARecordGoesToWhereItsSideLooksForIt) {
  struct Case {
    const char* name;
    __u8 kind;
    __u16 client_port, given_port, port_of_the_set;
  };
  const Case cases[] = {
      {"found from both sides", MESH_FLOW_BOTH, 4000, 4000, 4000},
      {"by what the client sends", MESH_FLOW_FORWARD, 4000, 50000, 4000},
      {"by what the endpoint answers", MESH_FLOW_REVERSE, 4000, 50000, 50000},
      {"where a client belongs", MESH_FLOW_AFFINITY, 0, 0, 0},
  };
  for (const Case& c : cases) {
    Pair& pair = Pair::cleared();
    mesh_flow record = record_of(c.client_port, c.kind);
    record.given_port = mesh_be16(c.given_port);
    const __u32 mark = MESH_FLOW_MARK(pair.kernel().sweep(0, 0).tick, MESH_FLOW_CONFIRMED);
    EXPECT_EQ(pair.run(kCarry, order_of(record, mark)).verdict, XDP_PASS) << c.name;
    const std::vector<Kept> kept = table(pair.kernel());
    ASSERT_EQ(kept.size(), 1u) << c.name;
    const mesh_config config = config_of(pair.kernel());
    const __u64 hash = mesh_flow_hash(&record.client, mesh_be16(c.port_of_the_set), 6, config.flow_seed);
    EXPECT_EQ(kept[0].set, mesh_flow_set_index(hash, config.flow_mask)) << c.name;
    EXPECT_EQ(kept[0].mark, mark) << c.name;
    EXPECT_EQ(std::memcmp(&kept[0].record, &record, sizeof record), 0) << c.name;
  }
}

TEST(Carry, TheNewerOfTwoStays) {
  Pair& pair = Pair::cleared();
  Kernel& kernel = pair.kernel();
  const __u32 now = kernel.sweep(0, 0).tick;
  struct Case {
    const char* name;
    __u32 here, carried, kept;
  };
  const __u32 known = MESH_FLOW_MARK(now - 10, MESH_FLOW_CONFIRMED);
  const Case cases[] = {
      {"older", known, MESH_FLOW_MARK(now - 20, 0), known},
      {"newer", known, MESH_FLOW_MARK(now - 1, MESH_FLOW_ANSWERED), MESH_FLOW_MARK(now - 1, MESH_FLOW_ANSWERED)},
      {"as old, and each knows something", known, MESH_FLOW_MARK(now - 10, MESH_FLOW_CLIENT_FIN),
       MESH_FLOW_MARK(now - 10, MESH_FLOW_CONFIRMED | MESH_FLOW_CLIENT_FIN)},
      {"the same", known, known, known},
  };
  for (const Case& c : cases) {
    Pair::cleared();
    ASSERT_EQ(kernel.run(kCarry, order_of(record_of(4000), c.here)).verdict, XDP_PASS);
    EXPECT_EQ(kernel.run(kCarry, order_of(record_of(4000), c.carried)).verdict, XDP_PASS) << c.name;
    const std::vector<Kept> kept = table(kernel);
    ASSERT_EQ(kept.size(), 1u) << c.name;
    EXPECT_EQ(kept[0].mark, c.kept) << c.name;
  }
}

TEST(Carry, WhoseAnswersWouldBeAnothersIsLeftOut) {
  Pair& pair = Pair::cleared();
  Kernel& kernel = pair.kernel();
  const __u32 mark = MESH_FLOW_MARK(kernel.sweep(0, 0).tick, MESH_FLOW_CONFIRMED);
  ASSERT_EQ(kernel.run(kCarry, order_of(record_of(4000), mark)).verdict, XDP_PASS);
  mesh_flow other = record_of(4000);
  other.original = address("192.0.2.2");
  EXPECT_EQ(pair.kernel().run(kCarry, order_of(other, mark)).verdict, XDP_DROP);
  EXPECT_EQ(table(kernel).size(), 1u);
}

TEST(Carry, InAFullSetTheLongestIdleMakesRoom) {
  Pair& pair = Pair::cleared();
  Kernel& kernel = pair.kernel();
  const __u32 now = kernel.sweep(0, 0).tick;
  const mesh_config config = config_of(kernel);
  // Client ports of one set.
  std::vector<__u16> ports;
  for (__u16 port = 1024; ports.size() <= MESH_FLOW_WAYS; port++) {
    const mesh_flow record = record_of(port);
    const __u64 hash = mesh_flow_hash(&record.client, record.client_port, 6, config.flow_seed);
    if (mesh_flow_set_index(hash, config.flow_mask) == 3) ports.push_back(port);
  }
  for (std::size_t i = 0; i < ports.size(); i++) {
    const __u32 mark = MESH_FLOW_MARK(now - 100 + static_cast<__u32>(i), MESH_FLOW_CONFIRMED);
    EXPECT_EQ(kernel.run(kCarry, order_of(record_of(ports[i]), mark)).verdict, XDP_PASS);
  }
  const std::vector<Kept> kept = table(kernel);
  EXPECT_EQ(kept.size(), MESH_FLOW_WAYS);
  for (const Kept& one : kept) EXPECT_NE(one.record.client_port, mesh_be16(ports[0]));
}

}  // namespace
}  // namespace mesh::packet
