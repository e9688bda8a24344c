// The interfaces of this host that carry client and tunnel traffic, as they are now. Those that are named, or else
// those that are found: the main one, that of the default route, and those towards the other hosts of the cluster. They
// may come and go: each reading says what there is.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "control/api/local_node.h"
#include "dataplane/desired.h"
#include "dataplane/uplink_mode.h"
#include "vxlan/uplink.h"

namespace mesh::agent {

struct UplinkOptions {
  std::vector<std::string> named;  // empty: they are found
  std::string main;                // the first of those that are found; "": that of the default route
  dataplane::ModeRequest mode = dataplane::ModeRequest::kAuto;
};

class Uplinks {
 public:
  explicit Uplinks(UplinkOptions options) : options_(std::move(options)) {}

  // Reads the host's interfaces. `routed`: indexes of those towards the other hosts. What is down or has no address is
  // no uplink at the moment. An error: there is none at all, and those of the last call stay.
  Status refresh(const std::set<std::uint32_t>& routed);

  [[nodiscard]] const std::vector<dataplane::Uplink>& all() const { return uplinks_; }  // the main one first
  [[nodiscard]] std::vector<api::UplinkState> states() const;
  // Why one that should be there is not, or not as it is now, one line each.
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

 private:
  struct Wanted {
    std::string name;     // "": of the default route
    bool needed = false;  // it is a problem if it cannot be used
  };
  struct Found {
    std::vector<dataplane::Uplink> uplinks;
    std::vector<std::string> reasons, problems;
    [[nodiscard]] bool has(std::uint32_t ifindex) const;
  };
  [[nodiscard]] std::vector<Wanted> wanted(const std::set<std::uint32_t>& routed) const;
  void look_at(const Wanted& wanted, Found& found) const;

  UplinkOptions options_;
  std::vector<dataplane::Uplink> uplinks_;
  std::vector<std::string> reasons_;  // of each one's mode
  std::vector<std::string> problems_;
};

// Every address of the uplinks, once, in their order.
[[nodiscard]] std::vector<IpAddress> addresses_of(const std::vector<dataplane::Uplink>& uplinks);

}  // namespace mesh::agent
