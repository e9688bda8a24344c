// A manager's questions to one host each about a traced packet (control/model/trace.h), and their answers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "control/cluster/messages.h"

namespace boost::asio {
class io_context;
}

namespace mesh::meshd {

class TraceInquiries {
 public:
  using Send = std::function<void(const std::string& node_id, const cluster::ManagerMessage&)>;
  using Done = std::function<void(Result<model::TraceAnswer>)>;
  using Wanted = std::function<bool()>;

  TraceInquiries(boost::asio::io_context& loop, Send send);
  // Questions that wait are given up; their `done` is not called.
  ~TraceInquiries();
  TraceInquiries(const TraceInquiries&) = delete;
  TraceInquiries& operator=(const TraceInquiries&) = delete;

  // Calls `done` once, later. The node has a session. A question that waits for a packet is asked again and again as
  // long as its answer is `wanted`; when it no more is, it is forgotten, here and by the node.
  void ask(const std::string& node, model::TraceQuestion question, Wanted wanted, Done done);
  void answer(const std::string& node, const model::TraceAnswer& answer);
  // The node's session ended.
  void lost(const std::string& node);

 private:
  struct Inquiry;
  void renew(std::uint64_t id);
  void finish(std::uint64_t id, Result<model::TraceAnswer> outcome);

  boost::asio::io_context& loop_;
  Send send_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, std::unique_ptr<Inquiry>> waiting_;
};

}  // namespace mesh::meshd
