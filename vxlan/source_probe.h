// Whether the underlay carries packets of this host whose source is another host's address, as direct answers have it
// (return mode dsr): such packets are sent, and the host that they go to listens. They are UDP to the VXLAN port, which
// hosts of a cluster let in from each other, and no VXLAN; IPv4, as the tunnel is.
#pragma once

#include <compare>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"

namespace mesh::vxlan {

struct SourceProbe {
  IpAddress source, destination;
};
// `token` tells the probes of one question from those of others, `sender` is the number of this host.
Status send_probes(const std::string& token, std::uint16_t sender, const std::vector<SourceProbe>& probes);

struct HeardProbe {
  std::uint16_t sender = 0;
  IpAddress source;
  auto operator<=>(const HeardProbe&) const = default;
};

// Hears them before anything of this host can drop them: its own checks of sources do not matter, since clients are not
// behind them.
class ProbeListener {
 public:
  [[nodiscard]] static Result<ProbeListener> open(std::string token);
  // Blocks until none has come for a while, three seconds at most. What came since open(); an error if some of it was
  // lost here for want of room.
  [[nodiscard]] Result<std::set<HeardProbe>> collect();
  [[nodiscard]] const std::string& token() const { return token_; }

 private:
  ProbeListener(Fd fd, std::string token) : fd_(std::move(fd)), token_(std::move(token)) {}
  Fd fd_;
  std::string token_;
};

}  // namespace mesh::vxlan
