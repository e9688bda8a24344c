#include "control/meshd/trace_inquiry.h"

#include <vector>

#include <boost/asio.hpp>

namespace mesh::meshd {
namespace {

// A host loads the programs once more for its first trace, and may be busy.
constexpr auto kTimeout = std::chrono::seconds(20);

}  // namespace

struct TraceInquiries::Inquiry {
  explicit Inquiry(boost::asio::io_context& loop) : timer(loop), renewal(loop) {}
  std::string node;
  cluster::ManagerMessage message;
  Wanted wanted;
  Done done;
  boost::asio::steady_timer timer, renewal;
};

TraceInquiries::TraceInquiries(boost::asio::io_context& loop, Send send) : loop_(loop), send_(std::move(send)) {}
TraceInquiries::~TraceInquiries() = default;

void TraceInquiries::ask(const std::string& node, model::TraceQuestion question, Wanted wanted, Done done) {
  const std::uint64_t id = ++last_id_;
  auto& inquiry = *(waiting_[id] = std::make_unique<Inquiry>(loop_));
  inquiry.node = node;
  inquiry.wanted = std::move(wanted);
  inquiry.done = std::move(done);
  inquiry.timer.expires_after(kTimeout + (question.next ? question.next->timeout : Duration::zero()));
  inquiry.timer.async_wait([this, id](const boost::system::error_code& error) {
    if (error) return;  // answered, or we are gone
    finish(id, fail(ErrorKind::kTimeout, "the host does not answer; 'meshctl status' tells whether it is well"));
  });
  question.id = id;
  cluster::ManagerMessage message;
  message.trace_question = std::move(question);
  if (message.trace_question->next) {
    inquiry.message = message;
    inquiry.message.trace_question->renewal = true;
    renew(id);
  }
  send_(node, message);
}

void TraceInquiries::renew(std::uint64_t id) {
  Inquiry& inquiry = *waiting_.at(id);
  inquiry.renewal.expires_after(model::kTraceRenewal);
  inquiry.renewal.async_wait([this, id](const boost::system::error_code& error) {
    if (error) return;  // answered, or we are gone
    const auto found = waiting_.find(id);
    if (found == waiting_.end()) return;
    if (!found->second->wanted()) {
      waiting_.erase(found);
      return;
    }
    renew(id);
    send_(found->second->node, found->second->message);
  });
}

void TraceInquiries::answer(const std::string& node, const model::TraceAnswer& answer) {
  const auto found = waiting_.find(answer.id);
  if (found == waiting_.end() || found->second->node != node) return;
  if (answer.error.empty()) return finish(answer.id, answer);
  finish(answer.id, fail(ErrorKind::kUnavailable, answer.error));
}

void TraceInquiries::lost(const std::string& node) {
  std::vector<std::uint64_t> ended;
  for (const auto& [id, inquiry] : waiting_) {
    if (inquiry->node == node) ended.push_back(id);
  }
  for (const std::uint64_t id : ended) finish(id, fail(ErrorKind::kUnavailable, "the host's session ended meanwhile"));
}

void TraceInquiries::finish(std::uint64_t id, Result<model::TraceAnswer> outcome) {
  const auto inquiry = waiting_.extract(id);
  if (inquiry.empty()) return;
  inquiry.mapped()->timer.cancel();
  inquiry.mapped()->done(std::move(outcome));
}

}  // namespace mesh::meshd
