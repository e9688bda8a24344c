#include "control/meshd/port_inquiry.h"

#include <boost/asio.hpp>
#include <fmt/format.h>

#include "base/log.h"

namespace mesh::meshd {
namespace {

constexpr auto kTimeout = std::chrono::seconds(2);

}  // namespace

struct PortInquiries::Inquiry {
  explicit Inquiry(boost::asio::io_context& loop) : timer(loop) {}
  std::set<std::string> nodes;  // that have not answered
  Done done;
  boost::asio::steady_timer timer;
};

PortInquiries::PortInquiries(boost::asio::io_context& loop, Send send) : loop_(loop), send_(std::move(send)) {}
PortInquiries::~PortInquiries() = default;

void PortInquiries::ask(const std::set<std::string>& nodes, std::vector<cluster::PortName> ports, Done done) {
  if (nodes.empty() || ports.empty()) {
    boost::asio::post(loop_, [done = std::move(done)] { done({}); });
    return;
  }
  const std::uint64_t id = ++last_id_;
  auto& inquiry = *(waiting_[id] = std::make_unique<Inquiry>(loop_));
  inquiry.nodes = nodes;
  inquiry.done = std::move(done);
  inquiry.timer.expires_after(kTimeout);
  inquiry.timer.async_wait([this, id](const boost::system::error_code& error) {
    if (error) return;  // answered, or we are gone
    const auto found = waiting_.find(id);
    if (found == waiting_.end()) return;
    spdlog::warn("hosts do not say whether ports are free; going on without them nodes={}",
                 fmt::join(found->second->nodes, ","));
    finish(id, {});
  });
  cluster::ManagerMessage message;
  message.port_question = cluster::PortQuestion{id, std::move(ports)};
  for (const std::string& node : nodes) send_(node, message);
}

void PortInquiries::answer(const std::string& node_id, const cluster::PortAnswer& answer) {
  const auto found = waiting_.find(answer.id);
  if (found == waiting_.end() || found->second->nodes.erase(node_id) == 0) return;
  if (!answer.refused.empty()) {
    finish(answer.id, fail(ErrorKind::kConflict, answer.refused.front()));
  } else if (found->second->nodes.empty()) {
    finish(answer.id, {});
  }
}

void PortInquiries::lost(const std::string& node_id) {
  std::vector<std::uint64_t> complete;
  for (const auto& [id, inquiry] : waiting_) {
    if (inquiry->nodes.erase(node_id) != 0 && inquiry->nodes.empty()) complete.push_back(id);
  }
  for (const std::uint64_t id : complete) finish(id, {});
}

void PortInquiries::finish(std::uint64_t id, Status outcome) {
  const auto inquiry = waiting_.extract(id);
  if (inquiry.empty()) return;
  inquiry.mapped()->timer.cancel();
  inquiry.mapped()->done(std::move(outcome));
}

}  // namespace mesh::meshd
