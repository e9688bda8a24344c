#include "tests/flowsim/simulation.h"

#include <fmt/format.h>

#include "bpf/lib/flow.h"
namespace mesh::flowsim {
namespace {

constexpr Time kWarmUp = 2 * kSecond;  // the first ring has reached every host

}  // namespace

Simulation::Simulation(const Scenario& wanted)
    : scenario(wanted),
      random(wanted.seed),
      leader(*this),
      network(*this),
      clients(*this),
      affinities(*this),
      chaos(*this) {
  for (std::uint16_t node = 1; node <= scenario.hosts; ++node) hosts.push_back(std::make_unique<Host>(*this, node));
  for (std::size_t i = 0; i < scenario.backends_min; ++i) {
    chaos.add(static_cast<std::uint16_t>(1 + i % scenario.hosts));
  }
}

void Simulation::scan() {
  for (const auto& host : hosts) {
    if (host->up) host->scan();
  }
  clock.after(clients.all_opened() ? 10 * kSecond : kSecond, [this] { scan(); });
}

void Simulation::run() {
  leader.start();
  clock.after(kWarmUp, [this] {
    clients.start();
    chaos.start();
    scan();
  });
  while (!clients.all_opened() && clock.step()) continue;
  const Time end = clock.now() + scenario.idle_max + 2 * 60 * kSecond;
  while (clock.now() < end && clock.step()) continue;
  for (const auto& host : hosts) {
    figures.given_ports += host->tables().counters[MESH_COUNT_FLOW_REWRITTEN];
  }
}

mesh_address Simulation::address_of(const Tuple& tuple) {
  if (tuple.inside != kNoContainer) return container(tuple.inside).address(tuple.v6);
  if (tuple.v6) return {{mesh_be32(0x20010db8U), 0, 0, mesh_be32(0x40000000U + tuple.client)}};
  return mesh_address_v4(mesh_be32(0xc6120000U + tuple.client));
}

bool Simulation::is_served(const Connection& connection) {
  if (connection.container == kNoContainer || !container(connection.container).alive) return false;
  return clock.now() - connection.served_at <= MESH_FLOW_UDP_TICKS * kTick;
}

void Simulation::excuse(ConnectionId id) {
  Connection& connection = clients[id];
  if (!connection.excused) ++figures.excused;
  connection.excused = true;
}

void Simulation::broken(Promise promise, ConnectionId id, const std::string& what) {
  const Connection& connection = clients[id];
  if (connection.excused) return;
  invariants.broken(
      promise,
      fmt::format("{} ms, connection {} (client {}{} port {} to host {} port {}): {}", clock.now() / kMillisecond, id,
                  connection.tuple.client,
                  connection.tuple.inside == kNoContainer ? "" : fmt::format(" container {}", connection.tuple.inside),
                  connection.tuple.port, connection.tuple.host, number_of(connection.tuple.service), what));
}

}  // namespace mesh::flowsim
