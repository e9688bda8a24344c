// Asking every host whether it can publish some ports, before a service that wants them is accepted.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/cluster/messages.h"

namespace boost::asio {
class io_context;
}

namespace mesh::meshd {

class PortInquiries {
 public:
  using Send = std::function<void(const std::string& node_id, const cluster::ManagerMessage&)>;
  using Done = std::function<void(Status)>;

  PortInquiries(boost::asio::io_context& loop, Send send);
  // Questions that wait are given up; their `done` is not called.
  ~PortInquiries();
  PortInquiries(const PortInquiries&) = delete;
  PortInquiries& operator=(const PortInquiries&) = delete;

  // Calls `done` once, later: kConflict with the first host's reason, or success when every node has answered. A node
  // that is silent for two seconds is not waited for: should its port be in use, `meshctl status` will tell.
  void ask(const std::set<std::string>& nodes, std::vector<cluster::PortName> ports, Done done);
  void answer(const std::string& node_id, const cluster::PortAnswer& answer);
  // The node's session ended.
  void lost(const std::string& node_id);

 private:
  struct Inquiry;
  void finish(std::uint64_t id, Status outcome);

  boost::asio::io_context& loop_;
  Send send_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, std::unique_ptr<Inquiry>> waiting_;
};

}  // namespace mesh::meshd
