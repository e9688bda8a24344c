// Placeholder sockets: each published port is bound (never listened on) for as long as it is published, so that no
// program of the host can take it, and a port that one has taken already is refused by name. Packets of the mesh never
// reach these sockets; a packet that is not the mesh's gets the reset that a closed port sends.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "dataplane/desired.h"

namespace mesh::dataplane {

using PortKey = std::pair<Protocol, std::uint16_t>;

class PortHolder {
 public:
  struct Refused {
    PortKey port;
    std::string message;  // "port 8010/tcp is already in use on this host by nginx (pid 123); …"
  };
  // Holds exactly `ports`, of the calling thread's network namespace. Those that cannot be held are returned.
  [[nodiscard]] std::vector<Refused> hold(const std::set<PortKey>& ports);
  // One more, one less. Whether it could be held; hold() says why not.
  [[nodiscard]] bool take(PortKey port);
  void release(PortKey port) { sockets_.erase(port); }
  [[nodiscard]] bool holds(PortKey port) const { return sockets_.contains(port); }

 private:
  std::map<PortKey, Fd> sockets_;
};

// Why the port cannot be published on this host, which is called `host` in the text: "port 8010/tcp is already in use
// on node2 by nginx (pid 123); stop it or publish another port". "" if it can, or if this process holds it already.
// From any thread; changes nothing.
[[nodiscard]] std::string port_refusal(PortKey port, const std::string& host);

}  // namespace mesh::dataplane
