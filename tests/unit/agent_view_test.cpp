#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/agent/inspection_json.h"
#include "control/agent/node_view.h"
#include "control/agent/table_merge.h"

namespace mesh::agent {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

// Two hosts; "web" with a VIP on network "back" (v4) and "deep" (internal, both families); one task here, one there,
// one here that drains.
model::EndpointTables make_tables() {
  model::EndpointTables tables;
  tables.version = {1, 5};
  tables.nodes = {{"n1", 1, "host1", ip("192.0.2.1"), {ip("192.0.2.1"), ip("2001:db8::1")}, true},
                  {"n2", 2, "host2", ip("192.0.2.2"), {ip("192.0.2.2")}, true}};
  tables.networks = {{"ing", "ingress", 4096, *Cidr::parse("10.0.0.0/16"), *Cidr::parse("fd00::/64"), false, true},
                     {"back", "Back", 4097, *Cidr::parse("10.1.0.0/24"), std::nullopt, false, false},
                     {"deep", "deep", 4098, *Cidr::parse("10.1.1.0/24"), *Cidr::parse("fd01::/64"), true, false}};
  model::PortRow port;
  port.protocol = "tcp";
  port.published = 8010;
  port.target = 80;
  port.ring_version = 3;
  port.owners = Bytes{0, 1, 0, 1};
  port.moved = {{1, 0, {2}}, {2, 0x7f, {1, 2}}};
  port.backends = {{"t1", 1, 11, model::EndpointState::kReady},
                   {"t2", 2, 21, model::EndpointState::kReady},
                   {"", 0, 0, model::EndpointState::kReady},
                   {"t3", 1, 12, model::EndpointState::kDraining}};
  tables.services = {{"s1",
                      "Web",
                      false,
                      {{"back", ip("10.1.0.2"), {}, {"www"}}, {"deep", ip("10.1.1.2"), ip("fd01::2"), {}}},
                      {port}}};
  const auto row = [](const char* id, std::uint16_t node, const char* last, model::EndpointState state, bool serving) {
    const std::string n(last);
    return model::EndpointRow{id,
                              "s1",
                              std::string("web.1.") + id,
                              std::string("host-") + id,
                              node,
                              ip(("10.0.0." + n).c_str()),
                              ip(("fd00::" + n).c_str()),
                              {{"back", ip(("10.1.0." + n).c_str()), {}, {}},
                               {"deep", ip(("10.1.1." + n).c_str()), ip(("fd01::" + n).c_str()), {}}},
                              state,
                              serving};
  };
  tables.endpoints = {
      row("t1", 1, "11", model::EndpointState::kReady, true), row("t2", 2, "12", model::EndpointState::kReady, true),
      row("t3", 1, "13", model::EndpointState::kDraining, true),
      row("t4", 2, "14", model::EndpointState::kReady, false), row("t5", 2, "15", model::EndpointState::kGone, false)};
  return tables;
}

model::Task local_task() {
  model::Task task;
  task.id = "t1";
  task.mesh.ingress_v4 = ip("10.0.0.11");
  task.mesh.ingress_v6 = ip("fd00::11");
  task.mesh.networks = {{"deep", ip("10.1.1.11"), ip("fd01::11"), {}}, {"back", ip("10.1.0.11"), {}, {}}};
  return task;
}

class ViewTest : public testing::Test {
 protected:
  ViewTest() {
    gateway_ = {1, ip("10.0.0.1"), ip("fd00::1")};
    host_.uplinks.emplace_back();
    host_.uplinks[0].name = "eth0";
    host_.uplinks[0].mtu = 1500;
    host_.uplinks[0].addresses = {ip("2001:db8::1"), ip("192.0.2.1")};
    host_.netns_directory = "/run/netns";
    host_.attachments["t1"] = {7, 77};
    dataplane::Node hop;
    hop.address = ip("192.0.2.2");
    hop.ifindex = 3;
    hop.source = ip("192.0.2.1");
    hop.next_hop = *MacAddress::parse("02:00:00:00:00:02");
    host_.routes = {hop};
    tasks_ = {local_task()};
  }
  [[nodiscard]] View view() const { return {tables_, gateway_, host_, tasks_}; }

  model::EndpointTables tables_ = make_tables();
  GatewayFacts gateway_;
  HostFacts host_;
  std::vector<model::Task> tasks_;
};

TEST_F(ViewTest, Overlay) {
  const vxlan::Desired desired = make_overlay(view());
  ASSERT_TRUE(desired.gateway);
  EXPECT_EQ(desired.gateway->mesh_v4, ip("10.0.0.2"));
  EXPECT_EQ(desired.gateway->mesh_v6, ip("fd00::2"));
  EXPECT_EQ(desired.gateway->host_source_v4, ip("192.0.2.1"));
  EXPECT_EQ(desired.gateway->host_source_v6, ip("2001:db8::1"));
  EXPECT_EQ(desired.gateway->mtu, 1450);
  ASSERT_EQ(desired.links.size(), 1U);
  EXPECT_EQ(desired.links[0].netns_path, "/run/netns/t1");
  ASSERT_EQ(desired.links[0].networks.size(), 3U);
  EXPECT_EQ(desired.links[0].networks[0].source, ip("10.1.1.11"));
  EXPECT_EQ(desired.links[0].networks[1].subnet, *Cidr::parse("fd01::/64"));
  // "deep" is internal: its addresses stay inside.
  EXPECT_THAT(desired.masquerade.sources, UnorderedElementsAre(ip("10.0.0.11"), ip("fd00::11"), ip("10.1.0.11")));
  EXPECT_EQ(desired.masquerade.cluster.size(), 5U);
  EXPECT_THAT(desired.reserved_ports, ElementsAre(8010));
}

TEST_F(ViewTest, OptionsOfAPublishedPort) {
  EXPECT_TRUE(make_dataplane(view()).ports.at(0).entry);
  model::PortRow& row = tables_.services[0].ports[0];
  row.return_mode = model::ReturnMode::kDsr;
  row.affinity_seconds = 60;
  row.prefer_local = true;
  row.allow = {*Cidr::parse("192.0.2.0/24")};
  const dataplane::PublishedPort port = make_dataplane(view()).ports.at(0);
  EXPECT_EQ(port.return_mode, dataplane::ReturnMode::kDirect);
  EXPECT_EQ(port.affinity_seconds, 60U);
  EXPECT_TRUE(port.prefer_local);
  EXPECT_THAT(port.allow, ElementsAre(*Cidr::parse("192.0.2.0/24")));
  EXPECT_THAT(port.addresses, IsEmpty());
}

// Node 1 is this host; 192.0.2.1 and 2001:db8::1 are its addresses.
TEST_F(ViewTest, WhereAPublishedPortAnswers) {
  struct Case {
    std::optional<std::vector<std::uint16_t>> nodes;
    std::vector<IpAddress> addresses;
    bool entry;
    std::vector<IpAddress> own;
  };
  const IpAddress here = ip("192.0.2.1"), also = ip("2001:db8::1"), there = ip("192.0.2.2");
  const Case table[] = {
      {std::nullopt, {}, true, {}},
      {std::vector<std::uint16_t>{1, 2}, {}, true, {}},
      {std::vector<std::uint16_t>{2}, {}, false, {}},
      {std::vector<std::uint16_t>{}, {}, false, {}},
      {std::nullopt, {here, there}, true, {here}},
      {std::nullopt, {also, here}, true, {also, here}},
      {std::nullopt, {there}, false, {}},
      {std::vector<std::uint16_t>{2}, {here}, false, {here}},
  };
  for (const auto& [nodes, addresses, entry, own] : table) {
    tables_.services[0].ports[0].entry_nodes = nodes;
    tables_.services[0].ports[0].addresses = addresses;
    const dataplane::Desired desired = make_dataplane(view());
    EXPECT_EQ(desired.ports.at(0).entry, entry);
    EXPECT_EQ(desired.ports.at(0).addresses, own);
    EXPECT_FALSE(desired.bindings.empty()) << "its backends serve in any case";
    // Where the port is not answered, it is left to others.
    EXPECT_EQ(make_overlay(view()).reserved_ports.empty(), !entry);
  }
}

TEST_F(ViewTest, WhereAPortOfAnInterfaceAnswers) {
  host_.uplinks.emplace_back();
  host_.uplinks[1].name = "eth1";
  host_.uplinks[1].addresses = {ip("198.51.100.1"), ip("2001:db8:1::1")};
  model::PortRow& port = tables_.services[0].ports[0];
  port.interfaces = {"eth1", "eth7"};
  EXPECT_TRUE(make_dataplane(view()).ports.at(0).entry);
  EXPECT_THAT(make_dataplane(view()).ports.at(0).addresses, ElementsAre(ip("198.51.100.1"), ip("2001:db8:1::1")));
  port.addresses = {ip("192.0.2.1"), ip("192.0.2.2")};
  EXPECT_THAT(make_dataplane(view()).ports.at(0).addresses,
              ElementsAre(ip("192.0.2.1"), ip("198.51.100.1"), ip("2001:db8:1::1")))
      << "those that are named, and those of the interface";
  port.addresses = {ip("192.0.2.2")};
  host_.uplinks[1].name = "eth2";
  EXPECT_FALSE(make_dataplane(view()).ports.at(0).entry) << "this host has no such uplink";
}

TEST_F(ViewTest, TheNarrowestUplinkCounts) {
  host_.uplinks.emplace_back(host_.uplinks[0]);
  host_.uplinks[1].mtu = 1400;
  EXPECT_EQ(make_overlay(view()).gateway->mtu, 1350);
}

TEST_F(ViewTest, AHostModePortIsHeldWhereItsTasksRun) {
  model::PortRow& port = tables_.services[0].ports[0];
  port.host_mode = true;
  port.entry_nodes = {1};
  EXPECT_EQ(make_dataplane(view()).ports.size(), 1U);
  port.entry_nodes = {2};
  EXPECT_THAT(make_dataplane(view()).ports, IsEmpty()) << "another service may have the number here";
}

TEST_F(ViewTest, OnlyInternalNetworksMeansNoWayOut) {
  tasks_[0].mesh.networks = {{"deep", ip("10.1.1.11"), {}, {}}};
  EXPECT_THAT(make_overlay(view()).masquerade.sources, IsEmpty());
  tasks_[0].mesh.networks.clear();
  EXPECT_THAT(make_overlay(view()).masquerade.sources, ElementsAre(ip("10.0.0.11"), ip("fd00::11")));
}

TEST_F(ViewTest, UnderlayV6CostsMore) {
  tables_.nodes[1].address = ip("2001:db8::2");
  EXPECT_EQ(make_overlay(view()).gateway->mtu, 1430);
}

TEST_F(ViewTest, BeforeTheWelcomeThereIsNoGateway) {
  gateway_ = {};
  EXPECT_FALSE(make_overlay(view()).gateway);
}

TEST_F(ViewTest, Dataplane) {
  const dataplane::Desired desired = make_dataplane(view());
  EXPECT_EQ(desired.self, 1);
  ASSERT_EQ(desired.nodes.size(), 2U);
  EXPECT_EQ(desired.nodes[0].ifindex, 0U) << "this host itself";
  EXPECT_EQ(desired.nodes[1].ifindex, 3U);
  EXPECT_EQ(desired.nodes[1].number, 2);
  ASSERT_EQ(desired.endpoints.size(), 4U) << "gone ones are not programmed";
  EXPECT_EQ(desired.endpoints[0].attachment->ifindex, 7U);
  EXPECT_FALSE(desired.endpoints[1].attachment);
  EXPECT_EQ(desired.endpoints[0].addresses.size(), 5U);
  ASSERT_EQ(desired.ports.size(), 1U);
  EXPECT_EQ(desired.ports[0].backends.size(), 4U) << "holes keep the indexes of the ring";
  EXPECT_EQ(desired.ports[0].ring.previous, (std::map<std::uint16_t, std::uint8_t>{{1, 0}}));
  EXPECT_EQ(desired.ports[0].ring.foreign,
            (std::map<std::uint16_t, std::vector<std::uint16_t>>{{1, {2}}, {2, {1, 2}}}));
  ASSERT_EQ(desired.bindings.size(), 2U) << "of this host only";
  EXPECT_EQ(desired.bindings[0].index, 11);
  EXPECT_EQ(desired.bindings[0].target_port, 80);
  EXPECT_EQ(desired.bindings[1].state, dataplane::EndpointState::kDraining);
  ASSERT_EQ(desired.virtual_ips.size(), 3U);
  // Draining and unhealthy ones get no new work.
  EXPECT_THAT(desired.virtual_ips[0].backends, ElementsAre(ip("10.1.0.11"), ip("10.1.0.12")));
  EXPECT_EQ(desired.virtual_ips[2].address, ip("fd01::2"));
  EXPECT_THAT(desired.virtual_ips[2].backends, ElementsAre(ip("fd01::11"), ip("fd01::12")));
}

const dns::Name* find_name(const dns::Network& network, const std::string& name) {
  const auto found = std::ranges::find(network.names, name, &dns::Name::name);
  return found == network.names.end() ? nullptr : &*found;
}

TEST_F(ViewTest, Names) {
  const dns::Desired desired = make_names(view());
  ASSERT_EQ(desired.networks.size(), 2U) << "the ingress network has no names";
  const dns::Network& back = desired.networks[0];
  ASSERT_NE(find_name(back, "web"), nullptr) << "lower case";
  EXPECT_THAT(find_name(back, "web")->addresses, ElementsAre(ip("10.1.0.2")));
  EXPECT_THAT(find_name(back, "www")->addresses, ElementsAre(ip("10.1.0.2")));
  EXPECT_THAT(find_name(back, "tasks.web")->addresses, ElementsAre(ip("10.1.0.11"), ip("10.1.0.12")));
  EXPECT_THAT(find_name(back, "web.1.t3")->addresses, ElementsAre(ip("10.1.0.13")))
      << "a draining task keeps its own name";
  EXPECT_THAT(find_name(back, "host-t2")->addresses, ElementsAre(ip("10.1.0.12")));
  EXPECT_EQ(find_name(back, "web.1.t5"), nullptr);
  EXPECT_THAT(back.reverse, Contains(dns::Reverse{ip("10.1.0.12"), "web.1.t2.back"}));
  EXPECT_THAT(find_name(desired.networks[1], "web")->addresses, ElementsAre(ip("10.1.1.2"), ip("fd01::2")));
  ASSERT_EQ(desired.clients.size(), 1U);
  EXPECT_EQ(desired.clients[0].address, ip("10.0.0.11"));
  EXPECT_THAT(desired.clients[0].network_ids, ElementsAre("deep", "back")) << "in the task's order";
}

TEST_F(ViewTest, DnsRoundRobinNamesTheTasks) {
  tables_.services[0].dnsrr = true;
  tables_.services[0].virtual_ips.clear();
  const dns::Desired desired = make_names(view());
  EXPECT_THAT(find_name(desired.networks[0], "web")->addresses, ElementsAre(ip("10.1.0.11"), ip("10.1.0.12")));
  EXPECT_THAT(make_dataplane(view()).virtual_ips, IsEmpty());
}

// Such a question is not passed on to the host's resolvers: the asker would wait for them while the next task comes.
TEST_F(ViewTest, AServiceWithoutTasksKeepsItsNames) {
  tables_.endpoints.clear();
  const dns::Desired by_vip = make_names(view());
  EXPECT_THAT(find_name(by_vip.networks[0], "web")->addresses, ElementsAre(ip("10.1.0.2")));
  ASSERT_NE(find_name(by_vip.networks[0], "tasks.web"), nullptr);
  EXPECT_THAT(find_name(by_vip.networks[0], "tasks.web")->addresses, IsEmpty());

  tables_.services[0].dnsrr = true;
  for (model::NetworkAddress& address : tables_.services[0].virtual_ips) address.v4 = address.v6 = {};
  const dns::Desired by_tasks = make_names(view());
  for (const char* name : {"web", "www", "tasks.web"}) {
    ASSERT_NE(find_name(by_tasks.networks[0], name), nullptr) << name;
    EXPECT_THAT(find_name(by_tasks.networks[0], name)->addresses, IsEmpty());
  }
  EXPECT_EQ(find_name(by_tasks.networks[1], "www"), nullptr) << "a name on another network";
}

// ---- merging

TEST(TableMerge, UpsertsAndRemovals) {
  model::EndpointTables tables = make_tables();
  model::TableChange change;
  change.from = {1, 5};
  change.upsert.version = {1, 6};
  change.upsert.nodes = {{"n3", 3, "host3", ip("192.0.2.3"), {}, true}};
  change.upsert.endpoints = {tables.endpoints[3]};
  change.upsert.endpoints[0].serving = true;
  change.removed_nodes = {"n2"};
  change.removed_endpoints = {"t5", "unknown"};
  ASSERT_TRUE(merge(tables, change));
  EXPECT_EQ(tables.version, (model::TableVersion{1, 6}));
  EXPECT_EQ(tables.nodes.size(), 2U);
  EXPECT_EQ(tables.nodes[1].id, "n3");
  EXPECT_EQ(tables.endpoints.size(), 4U);
  EXPECT_TRUE(tables.endpoints[3].serving);
}

TEST(TableMerge, GapsAndRepetitions) {
  struct Row {
    model::TableVersion from, to;
    bool ok;
    model::TableVersion expected;
  };
  for (const Row& row : {
           Row{{1, 5}, {1, 6}, true, {1, 6}},
           Row{{1, 5}, {1, 9}, true, {1, 9}},
           Row{{1, 4}, {1, 5}, true, {1, 5}},   // had already
           Row{{1, 3}, {1, 4}, true, {1, 5}},   // older than what is held
           Row{{1, 6}, {1, 7}, false, {1, 5}},  // one was missed
           Row{{1, 4}, {1, 6}, false, {1, 5}},  // starts elsewhere
           Row{{2, 5}, {2, 6}, false, {1, 5}},  // another manager's
           Row{{0, 0}, {2, 1}, false, {1, 5}},
       }) {
    model::EndpointTables tables = make_tables();
    model::TableChange change;
    change.from = row.from;
    change.upsert.version = row.to;
    change.removed_nodes = {"n1"};
    const Status merged = merge(tables, change);
    EXPECT_EQ(merged.has_value(), row.ok) << row.from.epoch << "." << row.from.version;
    EXPECT_EQ(tables.version, row.expected);
    const bool applied = row.ok && row.expected.version != 5;
    EXPECT_EQ(tables.nodes.size(), applied ? 1U : 2U);
    if (!merged) EXPECT_EQ(merged.error().kind, ErrorKind::kConflict);
  }
}

// The slow way: two full tables, row by row.
TEST(TableMerge, EqualsTheFullTable) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const auto make = [&] {
      model::EndpointTables tables;
      for (int i = 0; i < 20; ++i) {
        if (random() % 2 == 0) continue;
        model::EndpointRow row;
        row.task_id = "t" + std::to_string(i);
        row.node = static_cast<std::uint16_t>(random() % 3);
        tables.endpoints.push_back(row);
      }
      return tables;
    };
    model::EndpointTables before = make(), after = make();
    before.version = {1, 1};
    after.version = {1, 2};
    model::TableChange change;
    change.from = before.version;
    change.upsert.version = after.version;
    for (const auto& row : after.endpoints) {
      const auto old = std::ranges::find(before.endpoints, row.task_id, &model::EndpointRow::task_id);
      if (old == before.endpoints.end() || !(*old == row)) change.upsert.endpoints.push_back(row);
    }
    for (const auto& row : before.endpoints) {
      if (std::ranges::find(after.endpoints, row.task_id, &model::EndpointRow::task_id) == after.endpoints.end()) {
        change.removed_endpoints.push_back(row.task_id);
      }
    }
    ASSERT_TRUE(merge(before, change));
    std::ranges::sort(before.endpoints, {}, &model::EndpointRow::task_id);
    std::ranges::sort(after.endpoints, {}, &model::EndpointRow::task_id);
    EXPECT_EQ(before.endpoints, after.endpoints) << "seed " << seed;
  }
}

}  // namespace
}  // namespace mesh::agent
