// Random clusters in virtual time: whatever happens, safety holds at every step, and once nothing more happens the
// declared state is reached.
#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "control/manager/allocator.h"
#include "control/manager/endpoint_tables.h"
#include "control/manager/port_options.h"
#include "control/manager/rings.h"
#include "tests/unit/manager_lab.h"

namespace mesh::manager::lab {
namespace {

using model::EndpointState;
using model::TaskState;

void publish(model::ServiceSpec& spec, std::uint16_t port) {
  if (!spec.endpoint_spec) spec.endpoint_spec.emplace();
  spec.endpoint_spec->ports.push_back({.target_port = 80, .published_port = port});
}

// What must hold after every tick.
class Invariants {
 public:
  explicit Invariants(Lab& lab) : lab_(lab) {}

  void check(const Step& step) {
    states_only_move_forward();
    addresses_are_unique();
    bindings_are_unique();
    rings_lead_to_backends_that_hosts_know();
    at_most_one_runs_per_slot();
    ASSERT_EQ(lab_.passed_on_early(), "");
    for (const Delivery& delivery : step.deliveries) {
      for (const model::Task& task : delivery.upsert) stops_only_what_is_drained(task);
    }
  }

 private:
  void states_only_move_forward() {
    std::map<std::string, std::pair<TaskState, TaskState>> now;
    for (const auto& [id, task] : lab_.view().tasks()) {
      const auto before = seen_.find(id);
      if (before != seen_.end()) {
        ASSERT_GE(task->status.state, before->second.first) << id;
        ASSERT_GE(task->desired_state, before->second.second) << id;
      }
      now.emplace(id, std::pair(task->status.state, task->desired_state));
    }
    seen_ = std::move(now);
  }

  void addresses_are_unique() {
    std::set<std::pair<std::string, IpAddress>> taken;
    for (const auto& [id, task] : lab_.view().tasks()) {
      if (!holds_addresses(*task)) continue;
      ASSERT_TRUE(taken.emplace("ingress", task->mesh.ingress_v4).second) << id;
      for (const auto& address : task->mesh.networks) {
        ASSERT_TRUE(taken.emplace(address.network_id, address.v4).second) << id;
      }
    }
    for (const auto& [id, service] : lab_.view().services()) {
      for (const auto& vip : service->endpoint.virtual_ips) {
        const auto address = IpAddress::parse(vip.addr.substr(0, vip.addr.find('/')));
        ASSERT_TRUE(address);
        ASSERT_TRUE(taken.emplace(vip.network_id, *address).second) << id;
      }
    }
  }

  void bindings_are_unique() {
    std::set<std::pair<std::string, std::uint16_t>> taken;
    for (const auto& [id, task] : lab_.view().tasks()) {
      for (const auto& binding : task->mesh.bindings) {
        ASSERT_TRUE(taken.emplace(task->node_id, binding.index).second) << id;
      }
    }
  }

  // Start-first updates run two for a moment; a host that is cut off runs on with what it had.
  void at_most_one_runs_per_slot() {
    std::map<std::pair<std::string, std::uint64_t>, std::string> runs;
    for (const auto& [id, host] : lab_.hosts()) {
      for (const auto& [task_id, task] : host.tasks) {
        const model::Task* row = lab_.view().task(task_id);
        const model::Service* service = lab_.view().service(task.told.service_id);
        if (!host.connected || task.state != TaskState::kRunning || row == nullptr || service == nullptr) continue;
        if (task.told.desired_state > TaskState::kRunning || row->desired_state == TaskState::kRemove) continue;
        if (row->mesh.endpoint == EndpointState::kGone) continue;  // replaced while its host was away
        if (service->spec.update_config->order == model::UpdateOrder::kStartFirst) continue;
        const auto [other, first] = runs.emplace(std::pair(service->id, task.told.slot), task_id);
        ASSERT_TRUE(first) << "slot " << task.told.slot << " runs " << other->second << " and " << task_id << "\n"
                           << lab_.describe(service->id);
      }
    }
  }

  // Backends that own slots in the newest table are known, at that index, to every host that has the port at all.
  void rings_lead_to_backends_that_hosts_know() {
    for (const model::ServiceRow& service : lab_.manager().tables().services) {
      for (const model::PortRow& port : service.ports) {
        const std::set<std::uint8_t> owners(port.owners.begin(), port.owners.end());
        for (const std::uint8_t owner : owners) {
          if (owner == dataplane::kNoBackend) continue;
          ASSERT_LT(owner, port.backends.size());
          ASSERT_FALSE(port.backends[owner].task_id.empty());
          host_knows(service.id, port, owner);
        }
      }
    }
  }

  void host_knows(const std::string& service_id, const model::PortRow& port, std::uint8_t owner) {
    for (const auto& [id, host] : lab_.hosts()) {
      if (!host.connected || !host.caught_up || host.mute) continue;
      for (const model::ServiceRow& service : host.tables.services) {
        if (service.id != service_id) continue;
        for (const model::PortRow& held : service.ports) {
          if (held.published != port.published || held.protocol != port.protocol) continue;
          ASSERT_LT(owner, held.backends.size()) << id;
          ASSERT_EQ(held.backends[owner].task_id, port.backends[owner].task_id) << id;
        }
      }
    }
  }

  // A host is told to stop a running task only when no host sends it new flows.
  void stops_only_what_is_drained(const model::Task& task) {
    if (task.desired_state <= TaskState::kRunning || task.status.state != TaskState::kRunning) return;
    const model::Task* held = lab_.view().task(task.id);
    if (lab_.view().service(task.service_id) == nullptr || held == nullptr) return;
    if (held->mesh.endpoint != EndpointState::kDraining) return;  // its host was down: nothing was left to drain
    for (const auto& [id, host] : lab_.hosts()) {
      if (!host.connected || !host.caught_up || host.mute) continue;
      for (const model::EndpointRow& row : host.tables.endpoints) {
        if (row.task_id == task.id) {
          ASSERT_NE(row.state, EndpointState::kReady) << id;
        }
      }
      for (const model::ServiceRow& service : host.tables.services) {
        if (service.id == task.service_id) no_owner(service, task.id);
      }
    }
  }

  void no_owner(const model::ServiceRow& service, const std::string& task_id) {
    for (const model::PortRow& port : service.ports) {
      // A port that is no longer published takes its flows with it.
      const std::string id = fmt::format("{}/{}/{}", service.id, port.protocol, port.published);
      if (lab_.view().port(id) == nullptr) continue;
      for (const std::uint8_t owner : port.owners) {
        if (owner != dataplane::kNoBackend) {
          ASSERT_NE(port.backends[owner].task_id, task_id);
        }
      }
    }
  }

  Lab& lab_;
  std::map<std::string, std::pair<TaskState, TaskState>> seen_;
};

// Every backend owns its weight's part of the slots, whatever way the ring came to be.
void expect_shares(const store::View& view, const model::Service& service, const model::PortRow& row) {
  const auto label = service.spec.labels.find("mesh.weight");
  const auto weights = node_weights(view, label == service.spec.labels.end() ? "" : label->second);
  const auto weight_of = [&](const model::BackendRow& backend) {
    const auto found = weights.find(backend.node);
    return backend.task_id.empty() ? 0.0 : found == weights.end() ? 1.0 : found->second;
  };
  double sum = 0;
  for (const model::BackendRow& backend : row.backends) sum += weight_of(backend);
  for (std::size_t i = 0; i < row.backends.size(); ++i) {
    const auto slots = static_cast<double>(std::ranges::count(row.owners, static_cast<std::uint8_t>(i)));
    EXPECT_NEAR(slots, static_cast<double>(row.owners.size()) * weight_of(row.backends[i]) / sum, 1);
  }
}

// What must hold when nothing happens any more.
void expect_settled(Lab& lab) {
  const store::View& view = lab.view();
  for (const auto& [id, service] : view.services()) {
    EXPECT_TRUE(lab.converged(id)) << service->spec.name << "\n" << lab.describe(id);
    std::map<std::uint64_t, std::size_t> per_slot;
    for (const model::Task* task : view.tasks_of_service(id)) ++per_slot[task->slot];
    for (const auto& [slot, count] : per_slot) EXPECT_LE(count, 5U) << lab.describe(id);
    for (const model::PortConfig& config : service->endpoint.ports) {
      const model::PortState* port = view.port(fmt::format("{}/tcp/{}", id, config.published_port));
      ASSERT_NE(port, nullptr);
      std::set<std::string> owners, expected;
      for (const std::uint8_t owner : port->row.owners) {
        if (owner != dataplane::kNoBackend) owners.insert(port->row.backends.at(owner).task_id);
      }
      for (const model::Task* task : lab.running(id)) expected.insert(task->id);
      EXPECT_EQ(owners, expected);
      expect_shares(view, *service, port->row);
      EXPECT_TRUE(ring_of(port->row).foreign.empty());
      for (const model::BackendRow& backend : port->row.backends) {
        EXPECT_TRUE(backend.task_id.empty() || expected.contains(backend.task_id)) << backend.task_id;
      }
    }
  }
  for (const auto& [id, task] : view.tasks()) {
    EXPECT_NE(view.service(task->service_id), nullptr) << "task of a removed service: " << id;
    EXPECT_EQ(holds_addresses(*task), task->desired_state == TaskState::kRunning) << id;
    EXPECT_EQ(task->mesh.networks.size(), holds_addresses(*task) ? task->spec.networks.size() : 0) << id;
    EXPECT_TRUE(holds_addresses(*task) || task->mesh.bindings.empty()) << id;
  }
  for (const auto& [id, host] : lab.hosts()) {
    if (!host.connected) continue;
    EXPECT_EQ(host.tables.version, lab.manager().tables().version);
    EXPECT_TRUE(same_rows(host.tables, lab.manager().tables())) << id;
  }
  for (const auto& [id, row] : view.withdrawn()) ADD_FAILURE() << "never free again: " << id;
  const std::uint64_t version = view.version();
  lab.tick();
  EXPECT_EQ(view.version(), version) << "a pass over a settled cluster changes nothing";
}

struct Chaos {
  std::uint64_t seed = 0;
  bool lose_hosts = false;
};

// Does one random thing after the other to a cluster.
class Troublemaker {
 public:
  Troublemaker(Lab& lab, bool lose_hosts) : lab_(lab), lose_hosts_(lose_hosts) {
    EXPECT_TRUE(lab_.manager().create_network({.name = "net"}, lab_.now()));
    create();
    create();
  }

  void act() {
    const std::string service = services_.empty() ? "" : services_[lab_.roll(services_.size())];
    const std::string node = fmt::format("node{}", 1 + lab_.roll(lab_.hosts().size()));
    switch (lab_.roll(13)) {
      case 0:
      case 1:
        scale(service);
        break;
      case 2:
      case 3:
        change_image(service);
        break;
      case 4:
        if (services_.size() < 4) create();
        break;
      case 5:
        remove(service);
        break;
      case 6:
      case 7:
        crash(service);
        break;
      case 8:
        EXPECT_TRUE(lab_.set_availability(node, static_cast<model::Availability>(lab_.roll(3))));
        break;
      case 9:
        publish_or_not(service);
        break;
      case 10:
        if (lab_.roll(3) == 0) lab_.restart_manager();
        break;
      case 11:
        set_options(service, node);
        break;
      default:
        trouble_host(node);
        break;
    }
  }

  // Everything that was broken works again, and every service has a spec that nothing is wrong with.
  void make_good() {
    lab_.fail_one_in = 0;
    for (auto& [id, host] : lab_.hosts()) {
      if (!host.connected) lab_.heal(id);
      EXPECT_TRUE(lab_.set_availability(id, model::Availability::kActive));
    }
    for (const std::string& service : services_) {  // a paused update waits for its user
      EXPECT_TRUE(lab_.update(service, [](model::ServiceSpec& spec) { ++spec.task_template.force_update; }));
    }
  }

 private:
  void create() {
    services_.push_back(lab_.create(fmt::format("web{}", next_port_), 1 + lab_.roll(5), [&](model::ServiceSpec& spec) {
      if (lab_.roll(2) == 0) publish(spec, next_port_);
      if (lab_.roll(2) == 0) spec.task_template.networks.push_back({.target = "net"});
      spec.update_config.emplace().parallelism = lab_.roll(3);
      if (lab_.roll(3) == 0) spec.update_config->order = model::UpdateOrder::kStartFirst;
      spec.task_template.restart_policy.emplace().delay = milliseconds(lab_.roll(3000));
    }));
    ++next_port_;
  }
  // Updates may be refused (a removed service, a port that is taken): that is part of the trouble.
  void scale(const std::string& service) {
    const std::uint64_t replicas = lab_.roll(7);
    std::ignore = lab_.update(service, [&](model::ServiceSpec& spec) { spec.mode.replicated->replicas = replicas; });
  }
  void change_image(const std::string& service) {
    std::ignore = lab_.update(service, [&](model::ServiceSpec& spec) {
      spec.task_template.container_spec->image = fmt::format("image:{}", next_image_++);
    });
  }
  void remove(const std::string& service) {
    if (services_.size() < 2 || lab_.roll(3) != 0) return;
    EXPECT_TRUE(lab_.manager().remove_service(service, lab_.now()));
    std::erase(services_, service);
    if (lab_.roll(2) == 0) create();  // gets what was given back, if it may
  }
  void crash(const std::string& service) {
    const auto running = lab_.running_on_hosts(service);
    if (!running.empty()) lab_.crash_task(running[lab_.roll(running.size())], static_cast<std::int64_t>(lab_.roll(2)));
  }
  void publish_or_not(const std::string& service) {
    const auto wanted = static_cast<std::uint16_t>(lab_.roll(2) == 0 ? 0 : 9000 + lab_.roll(2));
    bool given_up = false;
    std::ignore = lab_.update(service, [&](model::ServiceSpec& spec) {
      given_up = spec.endpoint_spec && !spec.endpoint_spec->ports.empty();
      if (given_up) {
        spec.endpoint_spec->ports.clear();
      } else {
        publish(spec, wanted);
      }
    });
    if (!given_up || services_.empty()) return;
    // Another service wants it, perhaps in the same moment.
    if (lab_.roll(2) == 0) lab_.tick();
    std::ignore = lab_.update(services_[lab_.roll(services_.size())],
                              [&](model::ServiceSpec& spec) { publish(spec, wanted == 0 ? 30000 : wanted); });
  }
  void set_options(const std::string& service, const std::string& node) {
    EXPECT_TRUE(lab_.set_label(node, "capacity", std::to_string(lab_.roll(10))));  // 0 is no weight
    std::ignore = lab_.update(service, [&](model::ServiceSpec& spec) {
      spec.labels.clear();
      if (lab_.roll(2) == 0) spec.labels["mesh.weight"] = "capacity";
      if (lab_.roll(2) == 0) spec.labels["mesh.return"] = "dsr";
      if (lab_.roll(2) == 0) spec.labels["mesh.port.9000/tcp.on"] = "node.labels.capacity!=3";
    });
  }
  void trouble_host(const std::string& node) {
    if (!lose_hosts_) {
      lab_.disconnect(node);  // for a moment
      lab_.connect(node);
    } else if (lab_.hosts().at(node).connected) {
      lab_.cut(node);
    } else {
      lab_.heal(node);
    }
  }

  Lab& lab_;
  bool lose_hosts_;
  std::vector<std::string> services_;
  std::uint16_t next_port_ = 8000;
  int next_image_ = 2;
};

class Simulation : public testing::TestWithParam<Chaos> {};

TEST_P(Simulation, StaysSafeAndConverges) {
  const Chaos chaos = GetParam();
  Lab lab(chaos.seed, 4);
  Invariants invariants(lab);
  lab.fail_one_in = 20;
  Troublemaker troublemaker(lab, chaos.lose_hosts);
  lab.on_step = [&](const Step& step) { invariants.check(step); };
  for (int step = 0; step < 120 && !HasFatalFailure(); ++step) {
    lab.run_for(milliseconds(lab.roll(3000)));
    troublemaker.act();
  }
  troublemaker.make_good();
  lab.run_for(seconds(300));
  if (!HasFatalFailure()) expect_settled(lab);
}

// MESH_SIMULATION_SEEDS=500 looks longer.
std::vector<Chaos> all_chaos() {
  const char* wanted = std::getenv("MESH_SIMULATION_SEEDS");
  const std::uint64_t seeds = wanted == nullptr ? 12 : std::strtoull(wanted, nullptr, 10);
  std::vector<Chaos> result;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) result.push_back({seed, seed % 3 == 0});
  return result;
}
INSTANTIATE_TEST_SUITE_P(Seeds, Simulation, testing::ValuesIn(all_chaos()), [](const auto& info) {
  return fmt::format("{}{}", info.param.lose_hosts ? "LosingHosts" : "Calm", info.param.seed);
});

}  // namespace
}  // namespace mesh::manager::lab
