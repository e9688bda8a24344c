// A published port as the manager keeps it: its backends and its ring, which must outlive a restart of the manager,
// because every next ring is made from the one before. Not part of Docker's model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/model/endpoint_table.h"
#include "control/model/port.h"

namespace mesh::model {

// Id: "<service id>/tcp/8010". `row` is what hosts see; its backends and owners share indexes, so holes stay.
struct PortState {
  std::string id;
  Version version;
  std::string service_id;
  PortRow row;
  std::vector<std::uint16_t> weights;  // of the backends, by index, that the ring was made for; empty: all the same
  bool operator==(const PortState&) const = default;
};
template <class Visit>
constexpr bool json_fields(const PortState*, Visit&& visit) {
  return visit("ID", &PortState::id) && visit("Version", &PortState::version) &&
         visit("ServiceID", &PortState::service_id) && visit("Row", &PortState::row) &&
         visit("Weights", &PortState::weights, kOmitEmpty);
}

}  // namespace mesh::model
