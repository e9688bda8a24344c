#include "tests/flowsim/affinities.h"

#include <fmt/format.h>

#include "tests/flowsim/simulation.h"

namespace mesh::flowsim {

bool Affinities::holds(const Place& place) const {
  if (place.container == kNoContainer || place.excused) return false;
  const Container& container = simulation_.container(place.container);
  return container.alive && !container.draining && simulation_.clock.now() - place.at <= kAffinityTicks * kTick;
}

void Affinities::begin(ConnectionId id, const Container& container) {
  const Connection& connection = simulation_.clients[id];
  const Tuple& tuple = connection.tuple;
  if (kPorts[tuple.service].affinity_ticks == 0) return;
  Place& place = places_[{.port = tuple.service, .inside = tuple.inside, .client = tuple.client, .v6 = tuple.v6}];
  place.excused |= connection.excused;
  if (holds(place)) {
    ++simulation_.figures.kept;
    if (place.container != container.id) {
      simulation_.broken(Promise::kAffinity, id,
                         fmt::format("the client was at container {} {} ms ago, now at {}", place.container,
                                     (simulation_.clock.now() - place.at) / kMillisecond, container.id));
    }
  }
  place.container = container.id;
  place.at = simulation_.clock.now();
}

void Affinities::forget(const std::function<bool(const mesh_address&, PortIndex)>& is_lost) {
  for (auto& [key, place] : places_) {
    const Tuple tuple{.client = key.client, .inside = key.inside, .service = key.port, .v6 = key.v6};
    if (is_lost(simulation_.address_of(tuple), key.port)) place.excused = true;
  }
}

}  // namespace mesh::flowsim
