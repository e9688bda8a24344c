// Names of dataplane.h.
#include "dataplane/dataplane.h"

namespace mesh::dataplane {

std::string_view protocol_name(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp:
      return "tcp";
    case Protocol::kUdp:
      return "udp";
    case Protocol::kSctp:
      return "sctp";
  }
  return "unknown";
}

std::string_view state_name(EndpointState state) {
  switch (state) {
    case EndpointState::kReady:
      return "ready";
    case EndpointState::kDraining:
      return "draining";
    case EndpointState::kGone:
      return "gone";
  }
  return "unknown";
}

}  // namespace mesh::dataplane
