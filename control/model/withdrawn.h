// Something that the manager gave back and may not give to another owner yet, because a host may still hold it for the
// old one. Kept in the store, so that a manager that starts knows of it too. Not part of Docker's model.
#pragma once

#include <string>

#include "control/model/object.h"

namespace mesh::model {

// Id: "address/10.1.0.3", "port/tcp/8010" or "vni/4099".
struct Withdrawn {
  std::string id;
  Version version;
  bool operator==(const Withdrawn&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Withdrawn*, Visit&& visit) {
  return visit("ID", &Withdrawn::id) && visit("Version", &Withdrawn::version);
}

}  // namespace mesh::model
