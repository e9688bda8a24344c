#include "tests/flowsim/simulation.h"

#include <fmt/format.h>

namespace mesh::flowsim {
namespace {

constexpr Time kWarmUp = 2 * kSecond;  // the first ring has reached every host

}  // namespace

Simulation::Simulation(const Scenario& wanted)
    : scenario(wanted), random(wanted.seed), leader(*this), network(*this), clients(*this), chaos(*this) {
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

void Simulation::excuse(ConnectionId id) {
  Connection& connection = clients[id];
  if (!connection.excused) ++figures.excused;
  connection.excused = true;
}

void Simulation::broken(Promise promise, ConnectionId id, const std::string& what) {
  const Connection& connection = clients[id];
  if (connection.excused) return;
  invariants.broken(promise,
                    fmt::format("{} ms, connection {} (client {} port {} to {}): {}", clock.now() / kMillisecond, id,
                                connection.tuple.client, connection.tuple.port, connection.tuple.host, what));
}

}  // namespace mesh::flowsim
