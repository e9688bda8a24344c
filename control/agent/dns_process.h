// The mesh-dns process of this host: started by re-executing our own binary, fed with names, replaced when it is dead
// or of another build. It outlives meshd. Blocking.
#pragma once

#include <string>
#include <sys/types.h>

#include "base/address.h"
#include "base/result.h"
#include "control/agent/cgroup_layout.h"
#include "dns/feed.h"

namespace mesh::agent {

struct DnsProcessOptions {
  std::string program;  // "/proc/self/exe"; run as: PROGRAM dns --listen A:P --socket FILE --state FILE --build TEXT
  std::string socket_path;
  std::string state_path;
  std::string log_path;
  CgroupLayout cgroups;
};

class DnsProcess {
 public:
  explicit DnsProcess(DnsProcessOptions options);

  // Makes sure that one runs on `listen` and has these names.
  [[nodiscard]] Result<dns::ServerState> feed(const SocketAddress& listen, const dns::Desired& desired);
  [[nodiscard]] Result<dns::ServerState> state() const;
  // Ends it; not running is success.
  Status stop();

 private:
  Status start(const SocketAddress& listen);

  DnsProcessOptions options_;
  std::string build_;
  SocketAddress listen_;  // of the one that runs, as far as we know
  pid_t child_ = 0;       // started by this object; reaped when it ends
};

}  // namespace mesh::agent
