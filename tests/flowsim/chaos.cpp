#include "tests/flowsim/chaos.h"

#include <algorithm>

#include "tests/flowsim/simulation.h"

namespace mesh::flowsim {

std::vector<ContainerId> Chaos::ready() const {
  std::vector<ContainerId> ids;
  for (const ContainerId id : simulation_.running) {
    if (!simulation_.container(id).draining) ids.push_back(id);
  }
  return ids;
}

std::uint16_t Chaos::some_host_up() {
  while (true) {
    const auto node = static_cast<std::uint16_t>(1 + simulation_.random.below(simulation_.scenario.hosts));
    if (simulation_.host(node).up) return node;
  }
}

std::uint16_t Chaos::free_place(std::uint16_t node) const {
  std::uint16_t place = 1;
  const auto taken = [&](std::uint16_t wanted) {
    return std::ranges::any_of(simulation_.containers, [&](const auto& container) {
      return container->node == node && !container->place_released && container->place == wanted;
    });
  };
  while (taken(place)) ++place;
  return place;
}

void Chaos::add(std::uint16_t node) {
  auto container = std::make_unique<Container>();
  container->id = static_cast<ContainerId>(simulation_.containers.size());
  container->node = node;
  container->place = free_place(node);
  if (simulation_.random.chance(0.3)) container->weight = static_cast<std::uint16_t>(2 + simulation_.random.below(5));
  simulation_.running.push_back(container->id);
  simulation_.started.push_back(container->id);
  simulation_.containers.push_back(std::move(container));
  simulation_.leader.look();
}

void Chaos::drain() {
  const std::vector<ContainerId> candidates = ready();
  if (candidates.size() <= simulation_.scenario.backends_min) return;
  Container& container = simulation_.container(candidates[simulation_.random.below(candidates.size())]);
  container.draining = true;
  simulation_.leader.look();
}

// The service is scaled to nothing, and soon up again: until then its port has no owner, only backends that drain.
void Chaos::scale_to_nothing() {
  Random& random = simulation_.random;
  ++simulation_.figures.scaled_to_nothing;
  for (const ContainerId id : ready()) simulation_.container(id).draining = true;
  simulation_.leader.look();
  simulation_.clock.after(kSecond + random.up_to(2 * kSecond), [this] {
    for (std::size_t i = 0; i < simulation_.scenario.backends_min; ++i) add(some_host_up());
  });
}

void Chaos::stop_later(const Container& container) {
  Random& random = simulation_.random;
  Time grace = 2 * kSecond + random.up_to(15 * kSecond);
  // Some are given hours, to keep idle connections while everything else changes.
  if (container.node <= simulation_.scenario.steady_hosts && random.chance(0.03))
    grace = 2 * simulation_.scenario.idle_max;
  simulation_.clock.after(grace, [this, id = container.id] { end(simulation_.container(id)); });
}

void Chaos::crash() {
  const std::vector<ContainerId> candidates = ready();
  if (candidates.size() <= simulation_.scenario.backends_min) return;
  end(simulation_.container(candidates[simulation_.random.below(candidates.size())]));
}

void Chaos::end(Container& container) {
  if (!container.alive) return;
  container.alive = false;
  container.sockets.clear();
  std::erase(simulation_.running, container.id);
  Host& host = simulation_.host(container.node);
  simulation_.clock.after(simulation_.random.up_to(100 * kMillisecond), [this, id = container.id, born = host.life] {
    const Container& gone = simulation_.container(id);
    if (simulation_.host(gone.node).life == born) simulation_.host(gone.node).unbind(gone);
  });
  const Time told = 50 * kMillisecond + simulation_.random.up_to(300 * kMillisecond) + host.control_delay;
  simulation_.clock.after(told, [this, id = container.id] {
    simulation_.container(id).known_dead = true;
    simulation_.leader.look();
  });
}

void Chaos::lose_host() {
  Host& host = simulation_.host(some_host_up());
  const auto up = std::ranges::count_if(simulation_.hosts, [](const auto& other) { return other->up; });
  const std::vector<ContainerId> candidates = ready();
  const auto elsewhere =
      std::ranges::count_if(candidates, [&](ContainerId id) { return simulation_.container(id).node != host.node(); });
  if (host.node() <= simulation_.scenario.steady_hosts || up <= 3 || elsewhere < 2) return;
  ++simulation_.figures.hosts_died;
  for (const auto& container : simulation_.containers) {
    if (container->node == host.node()) end(*container);
  }
  host.die();
  simulation_.clock.after(300 * kMillisecond, [this] { simulation_.leader.look(); });
  const Time away = simulation_.random.chance(0.7) ? 15 * kSecond : 90 * kSecond;
  simulation_.clock.after(away, [this, &host] { host.join(simulation_.leader.row()); });
}

// The programs go on, only the daemon is late.
void Chaos::delay_control(Time delay, Time until) {
  Host& host = simulation_.host(some_host_up());
  host.control_delay = delay;
  simulation_.clock.after(until, [&host, born = host.life] {
    if (host.life == born) host.control_delay = 0;
  });
}

void Chaos::one_event() {
  const double what = simulation_.random.unit();
  const std::size_t room =
      simulation_.scenario.backends_max - std::min(ready().size(), simulation_.scenario.backends_max);
  if (what < 0.36 && room > 0) {
    add(some_host_up());
  } else if (what < 0.60) {
    drain();
  } else if (what < 0.66) {
    crash();
  } else if (what < 0.72) {
    for (std::size_t i = 0; i < std::min<std::size_t>(room, 4); ++i) add(some_host_up());
  } else if (what < 0.76) {
    lose_host();
  } else if (what < 0.84) {
    ++simulation_.figures.control_restarts;
    delay_control(3 * kSecond, 4 * kSecond);
  } else if (what < 0.85 && simulation_.scenario.laggards) {
    delay_control(8 * kSecond, 9 * kSecond);
  } else if (what >= 0.85 && what < 0.87) {
    scale_to_nothing();
  }
  // Else nothing: what the hosts report shrinks the sets.
}

void Chaos::start() { next(); }

void Chaos::next() {
  const Scenario& scenario = simulation_.scenario;
  const Time mean = simulation_.clients.all_opened() ? scenario.quiet_change_mean : scenario.change_mean;
  simulation_.clock.after(mean / 4 + simulation_.random.up_to(mean * 3 / 2), [this] {
    one_event();
    next();
  });
}

}  // namespace mesh::flowsim
