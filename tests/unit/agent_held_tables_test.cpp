// A change of the tables and what it changes of the data plane, against its slow twin: everything made anew.
#include <algorithm>
#include <functional>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/agent/held_tables.h"
#include "control/agent/node_view.h"

namespace mesh::agent {
namespace {

using model::EndpointState;
using model::EndpointTables;

constexpr std::uint16_t kSelf = 1;
constexpr std::uint32_t kTasks = 14, kServices = 6;

IpAddress address(std::uint32_t network, std::uint32_t number) {
  return IpAddress::v4(0x0a000000U + (network << 16U) + number);
}
std::string task_id(std::uint32_t number) { return "task" + std::to_string(number); }
std::string service_id(std::uint32_t number) { return "service" + std::to_string(number); }
std::string network_id(std::uint32_t number) { return "network" + std::to_string(number); }

EndpointTables empty_cluster() {
  EndpointTables tables;
  tables.version = {1, 1};
  for (std::uint16_t number = 1; number <= 3; ++number) {
    tables.nodes.push_back({"node" + std::to_string(number), number, "host", address(200, number), {}, true});
  }
  for (std::uint32_t number = 0; number < 4; ++number) {
    tables.networks.push_back({network_id(number),
                               "name" + std::to_string(number),
                               4096 + number,
                               {address(number, 0), 16},
                               std::nullopt,
                               false,
                               number == 0});
  }
  return tables;
}

model::EndpointRow random_task(std::uint32_t number, std::mt19937& random) {
  model::EndpointRow row;
  row.task_id = task_id(number);
  row.service_id = service_id(random() % kServices);
  row.name = row.service_id + "." + row.task_id;
  row.node = static_cast<std::uint16_t>(1 + random() % 3);
  row.ingress_v4 = address(0, 10 + number);
  for (std::uint32_t network = 1; network < 4; ++network) {
    if (random() % 2 == 0) row.networks.push_back({network_id(network), address(network, 10 + number), {}, {}});
  }
  row.state = static_cast<EndpointState>(random() % 3);
  row.serving = random() % 3 != 0;
  return row;
}

// Its backends are its tasks, each with a binding that goes wherever the task goes.
void fill(model::PortRow& port, const EndpointTables& tables, const std::string& service, std::mt19937& random) {
  ++port.ring_version;
  port.owners.clear();
  port.backends.clear();
  for (const model::EndpointRow& row : tables.endpoints) {
    if (row.service_id != service) continue;
    const auto binding = static_cast<std::uint16_t>(1 + std::stoul(row.task_id.substr(4)));
    port.owners.push_back(static_cast<std::uint8_t>(port.backends.size()));
    port.backends.push_back({row.task_id, row.node, binding, row.state});
  }
  port.prefer_local = random() % 2 == 0;
  if (random() % 3 == 0) port.moved = {{0, 1, {kSelf}}};
}

model::ServiceRow random_service(std::uint32_t number, const EndpointTables& tables, std::mt19937& random) {
  model::ServiceRow row;
  row.id = service_id(number);
  row.name = "name" + std::to_string(number);
  row.dnsrr = random() % 5 == 0;
  for (std::uint32_t network = 1; network < 4; ++network) {
    if (random() % 3 != 0) row.virtual_ips.push_back({network_id(network), address(network, 1000 + number), {}, {}});
  }
  if (number % 3 != 2) {
    model::PortRow port;
    port.protocol = number % 2 == 0 ? "tcp" : "udp";
    port.published = static_cast<std::uint16_t>(8000 + number);
    port.target = 80;
    fill(port, tables, row.id, random);
    row.ports.push_back(port);
  }
  return row;
}

template <class Row>
Row* any(std::vector<Row>& rows, std::mt19937& random) {
  return rows.empty() ? nullptr : &rows[random() % rows.size()];
}

void put_task(EndpointTables& tables, std::mt19937& random) {
  const model::EndpointRow row = random_task(random() % kTasks, random);
  const auto there = std::ranges::find(tables.endpoints, row.task_id, &model::EndpointRow::task_id);
  if (there == tables.endpoints.end()) {
    tables.endpoints.push_back(row);
  } else {
    *there = row;
  }
}

void change_task(EndpointTables& tables, std::mt19937& random) {
  model::EndpointRow* row = any(tables.endpoints, random);
  if (row == nullptr) return;
  row->serving = !row->serving;
  if (random() % 2 == 0) row->state = static_cast<EndpointState>(random() % 3);
}

void change_ports(EndpointTables& tables, std::mt19937& random) {
  model::ServiceRow* row = any(tables.services, random);
  if (row == nullptr) return;
  for (model::PortRow& port : row->ports) fill(port, tables, row->id, random);
}

void put_service(EndpointTables& tables, std::mt19937& random) {
  const model::ServiceRow row = random_service(random() % kServices, tables, random);
  const auto there = std::ranges::find(tables.services, row.id, &model::ServiceRow::id);
  if (there == tables.services.end()) {
    tables.services.push_back(row);
  } else {
    *there = row;
  }
}

// What one service has becomes another's too, or instead.
void hand_over(EndpointTables& tables, std::mt19937& random, bool keep) {
  model::ServiceRow* from = any(tables.services, random);
  model::ServiceRow* to = any(tables.services, random);
  if (from == nullptr || from == to) return;
  if (random() % 2 == 0) {
    to->ports.insert(to->ports.end(), from->ports.begin(), from->ports.end());
    if (!keep) from->ports.clear();
  } else if (!from->virtual_ips.empty()) {
    to->virtual_ips.push_back(from->virtual_ips.back());
    if (!keep) from->virtual_ips.pop_back();
  }
}

// More than pieces: nodes, networks, numbers that this host answers on.
void change_frame(EndpointTables& tables, std::mt19937& random) {
  switch (random() % 4) {
    case 0:
      any(tables.nodes, random)->addresses = {address(200, random() % 100)};
      return;
    case 1:
      any(tables.networks, random)->vni = 5000 + random() % 100;
      return;
    case 2:
      if (model::ServiceRow* row = any(tables.services, random)) row->ports.clear();
      return;
    default:
      if (model::ServiceRow* row = any(tables.services, random)) {
        for (model::PortRow& port : row->ports) port.entry_nodes = {static_cast<std::uint16_t>(1 + random() % 2)};
        for (model::PortRow& port : row->ports) port.host_mode = random() % 2 == 0;
      }
  }
}

void remove_one(EndpointTables& tables, std::mt19937& random) {
  if (random() % 4 != 0 && !tables.endpoints.empty()) {
    tables.endpoints.erase(tables.endpoints.begin() + static_cast<std::ptrdiff_t>(random() % tables.endpoints.size()));
  } else if (!tables.services.empty()) {
    tables.services.erase(tables.services.begin() + static_cast<std::ptrdiff_t>(random() % tables.services.size()));
  }
}

EndpointTables changed(EndpointTables tables, std::mt19937& random) {
  ++tables.version.version;
  for (std::uint32_t left = 1 + random() % 4; left > 0; --left) {
    const std::uint32_t what = random() % 100;
    if (what < 25) {
      put_task(tables, random);
    } else if (what < 50) {
      change_task(tables, random);
    } else if (what < 75) {
      change_ports(tables, random);
    } else if (what < 84) {
      put_service(tables, random);
    } else if (what < 92) {
      remove_one(tables, random);
    } else if (what < 96) {
      hand_over(tables, random, false);
    } else if (what < 97) {
      hand_over(tables, random, true);
    } else {
      change_frame(tables, random);
    }
  }
  return tables;
}

template <class Row>
void compare(const std::vector<Row>& before, const std::vector<Row>& after, std::string Row::* id,
             std::vector<Row>& upsert, std::vector<std::string>& removed) {
  for (const Row& row : after) {
    const auto was = std::ranges::find(before, row.*id, id);
    if (was == before.end() || *was != row) upsert.push_back(row);
  }
  for (const Row& row : before) {
    if (std::ranges::find(after, row.*id, id) == after.end()) removed.push_back(row.*id);
  }
}

model::TableChange difference(const EndpointTables& before, const EndpointTables& after) {
  model::TableChange change{.from = before.version};
  change.upsert.version = after.version;
  compare(before.nodes, after.nodes, &model::NodeRow::id, change.upsert.nodes, change.removed_nodes);
  compare(before.networks, after.networks, &model::NetworkRow::id, change.upsert.networks, change.removed_networks);
  compare(before.services, after.services, &model::ServiceRow::id, change.upsert.services, change.removed_services);
  compare(before.endpoints, after.endpoints, &model::EndpointRow::task_id, change.upsert.endpoints,
          change.removed_endpoints);
  return change;
}

template <class Row, class Name, class NameOf>
void amend(std::vector<Row>& rows, const std::vector<Row>& put, const std::vector<Name>& gone, NameOf name_of) {
  std::erase_if(rows, [&](const Row& row) { return std::ranges::find(gone, name_of(row)) != gone.end(); });
  for (const Row& row : put) {
    std::erase_if(rows, [&](const Row& old) { return name_of(old) == name_of(row); });
    rows.push_back(row);
  }
  std::ranges::sort(rows, {}, name_of);
}

// The pieces of all, in the order of their names, with a change in them.
void amend(dataplane::Desired& desired, const dataplane::Change& change) {
  amend(desired.endpoints, change.endpoints, change.endpoints_gone, [](const auto& one) { return one.task_id; });
  amend(desired.ports, change.ports, change.ports_gone,
        [](const auto& one) { return std::pair(one.protocol, one.port); });
  amend(desired.bindings, change.bindings, change.bindings_gone, [](const auto& one) { return one.index; });
  amend(desired.virtual_ips, change.virtual_ips, change.virtual_ips_gone, [](const auto& one) { return one.address; });
}

class HeldTablesTest : public testing::Test {
 protected:
  HeldTablesTest() {
    gateway_ = {kSelf, address(0, 1), {}};
    host_.uplinks.emplace_back().addresses = {address(200, kSelf)};
    for (std::uint32_t number = 0; number < kTasks; number += 3) host_.attachments[task_id(number)] = {7 + number, 77};
    model::Task task;
    task.id = task_id(0);
    for (std::uint32_t network = 1; network < 4; ++network) task.mesh.networks.push_back({network_id(network)});
    tasks_ = {task};
  }
  [[nodiscard]] View view(const EndpointTables& tables) const { return {tables, gateway_, host_, tasks_}; }
  void tell_all() { held_.settle(make_dataplane(view(held_.tables()))); }

  GatewayFacts gateway_;
  HostFacts host_;
  std::vector<model::Task> tasks_;
  HeldTables held_;
};

TEST_F(HeldTablesTest, AChangeMakesWhatMakingEverythingAnewMakes) {
  int told = 0, passes = 0;
  for (std::uint32_t seed = 0; seed < 100; ++seed) {
    std::mt19937 random(seed);
    EndpointTables tables = empty_cluster();
    for (std::uint32_t number = 0; number < kTasks; number += 2)
      tables.endpoints.push_back(random_task(number, random));
    for (std::uint32_t number = 0; number < kServices; ++number) {
      tables.services.push_back(random_service(number, tables, random));
    }
    held_.replace(tables);
    tell_all();
    for (int pass = 0; pass < 40; ++pass, ++passes) {
      const EndpointTables before = tables;
      for (std::uint32_t waiting = 1 + random() % 3; waiting > 0; --waiting) {
        EndpointTables next = changed(tables, random);
        ASSERT_TRUE(held_.merge(difference(tables, next)));
        tables = std::move(next);
      }
      dataplane::Desired desired = make_dataplane(view(before)), wanted = make_dataplane(view(tables));
      const auto effect = held_.take_effect(view(held_.tables()));
      if (!effect) {
        tell_all();
        continue;
      }
      ++told;
      amend(desired, effect->change);
      amend(wanted, {});
      ASSERT_EQ(desired.endpoints, wanted.endpoints) << "seed " << seed << " pass " << pass;
      ASSERT_EQ(desired.ports, wanted.ports) << "seed " << seed << " pass " << pass;
      ASSERT_EQ(desired.bindings, wanted.bindings) << "seed " << seed << " pass " << pass;
      ASSERT_EQ(desired.virtual_ips, wanted.virtual_ips) << "seed " << seed << " pass " << pass;
      ASSERT_EQ(desired.nodes, wanted.nodes);
      ASSERT_EQ(desired.networks, wanted.networks);
      vxlan::Desired overlay = make_overlay(view(before));
      if (effect->reserved_ports) overlay.reserved_ports = *effect->reserved_ports;
      ASSERT_EQ(overlay, make_overlay(view(tables))) << "seed " << seed << " pass " << pass;
      std::vector<dns::Network> names = make_names(view(before)).networks;
      for (std::size_t i = 0; i < names.size(); ++i) {
        if (!effect->networks.contains(names[i].id)) continue;
        names[i] = make_names(tables.networks[i + 1], held_.services_on(names[i].id));
      }
      ASSERT_EQ(names, make_names(view(tables)).networks) << "seed " << seed << " pass " << pass;
    }
  }
  // A name that two have stays for a while.
  EXPECT_GT(told, passes / 3) << "of " << passes << " passes told only a change";
}

// One service with a port and a virtual IP, one with a port of this host only; a task of each.
EndpointTables two_services() {
  EndpointTables tables = empty_cluster();
  for (std::uint32_t number = 0; number < 2; ++number) {
    model::EndpointRow task{.task_id = task_id(number), .service_id = service_id(number), .node = kSelf};
    task.ingress_v4 = address(0, 10 + number);
    task.networks = {{network_id(1 + number), address(1 + number, 10), {}, {}}};
    task.serving = true;
    tables.endpoints.push_back(task);
    model::ServiceRow service{.id = service_id(number), .name = service_id(number)};
    service.virtual_ips = {{network_id(1 + number), address(1 + number, 2), {}, {}}};
    model::PortRow port{.protocol = "tcp", .published = static_cast<std::uint16_t>(8000 + number), .target = 80};
    port.backends = {{task.task_id, kSelf, static_cast<std::uint16_t>(1 + number), EndpointState::kReady}};
    service.ports = {port};
    tables.services.push_back(service);
  }
  return tables;
}

TEST_F(HeldTablesTest, AnEndpointThatIsNotServingTouchesItsServiceOnly) {
  EndpointTables tables = two_services();
  held_.replace(tables);
  tell_all();
  EndpointTables next = tables;
  ++next.version.version;
  next.endpoints[1].serving = false;
  ASSERT_TRUE(held_.merge(difference(tables, next)));
  const auto effect = held_.take_effect(view(held_.tables()));
  ASSERT_TRUE(effect);
  EXPECT_THAT(effect->networks, testing::ElementsAre(network_id(2)));
  ASSERT_EQ(effect->change.endpoints.size(), 1U);
  EXPECT_EQ(effect->change.endpoints[0].task_id, task_id(1));
  ASSERT_EQ(effect->change.virtual_ips.size(), 1U);
  EXPECT_THAT(effect->change.virtual_ips[0].backends, testing::IsEmpty());
  ASSERT_EQ(effect->change.ports.size(), 1U);
  EXPECT_EQ(effect->change.ports[0].port, 8001);
}

TEST_F(HeldTablesTest, WhatIsMoreThanPiecesIsMadeAnew) {
  struct Case {
    const char* what;
    bool change;
    std::function<void(EndpointTables&)> spoil;
  };
  const Case cases[] = {
      {"nothing", true, [](EndpointTables&) {}},
      {"an endpoint that goes", true, [](EndpointTables& t) { t.endpoints.pop_back(); }},
      {"a ring", true, [](EndpointTables& t) { t.services[0].ports[0].owners = {0, 0}; }},
      {"a service without a port", true,
       [](EndpointTables& t) { t.services.push_back({.id = "other", .name = "other"}); }},
      {"a node", false, [](EndpointTables& t) { t.nodes.pop_back(); }},
      {"a network", false, [](EndpointTables& t) { t.networks.pop_back(); }},
      {"a port more", true,
       [](EndpointTables& t) { t.services[0].ports.push_back({.protocol = "udp", .published = 9000, .target = 80}); }},
      {"a service that goes with its port", true, [](EndpointTables& t) { t.services.pop_back(); }},
      {"a port that this host does not answer on any more", true,
       [](EndpointTables& t) { t.services[0].ports[0].entry_nodes = std::vector<std::uint16_t>{2}; }},
      {"two services with one virtual IP", false,
       [](EndpointTables& t) { t.services[0].virtual_ips.push_back(t.services[1].virtual_ips[0]); }},
      {"two tasks with one binding", false,
       [](EndpointTables& t) { t.services[0].ports[0].backends = t.services[1].ports[0].backends; }},
      {"a virtual IP that goes to another service", true,
       [](EndpointTables& t) { std::swap(t.services[0].virtual_ips, t.services[1].virtual_ips); }},
      {"bindings that change their task", true,
       [](EndpointTables& t) { std::swap(t.services[0].ports[0].backends, t.services[1].ports[0].backends); }},
  };
  for (const auto& [what, change, spoil] : cases) {
    const EndpointTables tables = two_services();
    held_.replace(tables);
    EXPECT_FALSE(held_.take_effect(view(held_.tables()))) << "nothing was told yet";
    tell_all();
    EndpointTables next = tables;
    ++next.version.version;
    spoil(next);
    ASSERT_TRUE(held_.merge(difference(tables, next)));
    EXPECT_EQ(held_.take_effect(view(held_.tables())).has_value(), change) << what;
    if (change) continue;
    EXPECT_FALSE(held_.take_effect(view(held_.tables()))) << what << ": it is not known what was told";
  }
}

// Until only one has the name everything is made anew.
TEST_F(HeldTablesTest, ANameThatTwoHaveIsWaitedFor) {
  EndpointTables tables = two_services();
  held_.replace(tables);
  tell_all();
  const auto pass = [&](const std::function<void(EndpointTables&)>& spoil) {
    EndpointTables next = tables;
    ++next.version.version;
    spoil(next);
    EXPECT_TRUE(held_.merge(difference(tables, next)));
    tables = next;
    const bool told = held_.take_effect(view(held_.tables())).has_value();
    if (!told) tell_all();
    return told;
  };
  EXPECT_FALSE(pass([](EndpointTables& t) { t.services[1].virtual_ips = t.services[0].virtual_ips; }));
  EXPECT_FALSE(pass([](EndpointTables& t) { t.endpoints[0].serving = false; }));
  EXPECT_FALSE(pass([](EndpointTables& t) { t.services[0].virtual_ips.clear(); }));
  EXPECT_TRUE(pass([](EndpointTables& t) { t.endpoints[0].serving = true; }));
}

TEST_F(HeldTablesTest, AChangeThatWasMissedOrRepeatedTouchesNothing) {
  const EndpointTables tables = two_services();
  held_.replace(tables);
  tell_all();
  EndpointTables next = tables;
  next.nodes.pop_back();
  EXPECT_TRUE(held_.merge(difference(tables, next))) << "no newer than what is held";
  next.version.version += 2;
  model::TableChange gap = difference(tables, next);
  ++gap.from.version;
  EXPECT_FALSE(held_.merge(gap));
  EXPECT_EQ(held_.tables().nodes, tables.nodes);
  EXPECT_TRUE(held_.take_effect(view(held_.tables())));
}

}  // namespace
}  // namespace mesh::agent
