// The small pure parts of dataplane.h: names, and the choice of an uplink's mode.
#include <fmt/format.h>

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

Result<ModeRequest> parse_mode(std::string_view text) {
  if (text == "auto") return ModeRequest::kAuto;
  if (text == "xdp") return ModeRequest::kXdp;
  if (text == "tc") return ModeRequest::kTc;
  return fail(ErrorKind::kInvalid, fmt::format("uplink mode \"{}\": must be auto, xdp or tc", text));
}

Result<UplinkMode> choose_mode(ModeRequest request, std::string_view interface, std::string_view driver,
                               bool native_xdp) {
  switch (request) {
    case ModeRequest::kTc:
      return UplinkMode::kTc;
    case ModeRequest::kAuto:
      // On veth XDP copies every packet and loses segmentation offload: tc is the faster one there.
      return native_xdp && driver != "veth" ? UplinkMode::kXdp : UplinkMode::kTc;
    case ModeRequest::kXdp:
      if (native_xdp) return UplinkMode::kXdp;
      return fail(ErrorKind::kUnsupported,
                  fmt::format("uplink {}: its driver {} does not run XDP programs; use --uplink-mode tc (or auto)",
                              interface, driver.empty() ? "(unnamed)" : driver));
  }
  return UplinkMode::kTc;
}

}  // namespace mesh::dataplane
