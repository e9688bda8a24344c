// One run: hosts, backends, clients and the leader, on one clock and one source of chance.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/flowsim/affinities.h"
#include "tests/flowsim/chaos.h"
#include "tests/flowsim/clients.h"
#include "tests/flowsim/host.h"
#include "tests/flowsim/invariants.h"
#include "tests/flowsim/leader.h"
#include "tests/flowsim/network.h"
#include "tests/flowsim/scenario.h"

namespace mesh::flowsim {

struct Simulation {
  explicit Simulation(const Scenario& scenario);
  // Until all connections were opened and the longest pause is over.
  void run();

  [[nodiscard]] Host& host(std::uint16_t node) { return *hosts[node - 1U]; }
  [[nodiscard]] Container& container(ContainerId id) { return *containers[static_cast<std::size_t>(id)]; }
  [[nodiscard]] mesh_address address_of(const Tuple& tuple);  // the client's
  // Of datagrams: its container lives, and may not be another one yet.
  [[nodiscard]] bool is_served(const Connection& connection);
  void excuse(ConnectionId id);
  void broken(Promise promise, ConnectionId id, const std::string& what);

  Scenario scenario;
  Clock clock;
  Random random;
  Invariants invariants;
  Figures figures;
  std::vector<std::unique_ptr<Host>> hosts;            // by node - 1
  std::vector<std::unique_ptr<Container>> containers;  // all that there ever were
  std::vector<ContainerId> running;                    // of them
  std::vector<ContainerId> started;                    // without an index yet
  std::uint32_t next_socket = 1;
  Leader leader;
  Network network;
  Clients clients;
  Affinities affinities;
  Chaos chaos;

 private:
  void scan();
};

}  // namespace mesh::flowsim
