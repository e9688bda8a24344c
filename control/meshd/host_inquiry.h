// A manager's questions to one host each, and their answers: about a traced packet (control/model/trace.h), about
// direct answers (control/model/direct_probe.h). Question and Answer have an `id`, Answer an `error`.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio.hpp>

#include "base/result.h"
#include "control/cluster/messages.h"

namespace mesh::meshd {

template <class Question, class Answer>
class HostInquiries {
 public:
  using Send = std::function<void(const std::string& node_id, const cluster::ManagerMessage&)>;
  using Done = std::function<void(Result<Answer>)>;

  // `field`: where the message carries the question.
  HostInquiries(boost::asio::io_context& loop, Send send, std::optional<Question> cluster::ManagerMessage::* field)
      : loop_(loop), send_(std::move(send)), field_(field) {}
  // Questions that wait are given up; their `done` is not called.
  ~HostInquiries() = default;
  HostInquiries(const HostInquiries&) = delete;
  HostInquiries& operator=(const HostInquiries&) = delete;

  // Calls `done` once, later. The node has a session.
  void ask(const std::string& node, Question question, Done done) {
    // A host loads the programs once more for its first trace, and may be busy.
    constexpr auto kTimeout = std::chrono::seconds(20);
    const std::uint64_t id = ++last_id_;
    auto& inquiry = *(waiting_[id] = std::make_unique<Inquiry>(loop_));
    inquiry.node = node;
    inquiry.done = std::move(done);
    inquiry.timer.expires_after(kTimeout);
    inquiry.timer.async_wait([this, id](const boost::system::error_code& error) {
      if (error) return;  // answered, or we are gone
      finish(id, fail(ErrorKind::kTimeout, "the host does not answer; 'meshctl status' tells whether it is well"));
    });
    question.id = id;
    cluster::ManagerMessage message;
    message.*field_ = std::move(question);
    send_(node, message);
  }

  void answer(const std::string& node, const Answer& answer) {
    const auto found = waiting_.find(answer.id);
    if (found == waiting_.end() || found->second->node != node) return;
    if (answer.error.empty()) return finish(answer.id, answer);
    finish(answer.id, fail(ErrorKind::kUnavailable, answer.error));
  }

  // The node's session ended.
  void lost(const std::string& node) {
    std::vector<std::uint64_t> ended;
    for (const auto& [id, inquiry] : waiting_) {
      if (inquiry->node == node) ended.push_back(id);
    }
    for (const std::uint64_t id : ended)
      finish(id, fail(ErrorKind::kUnavailable, "the host's session ended meanwhile"));
  }

 private:
  struct Inquiry {
    explicit Inquiry(boost::asio::io_context& loop) : timer(loop) {}
    std::string node;
    Done done;
    boost::asio::steady_timer timer;
  };

  void finish(std::uint64_t id, Result<Answer> outcome) {
    const auto inquiry = waiting_.extract(id);
    if (inquiry.empty()) return;
    inquiry.mapped()->timer.cancel();
    inquiry.mapped()->done(std::move(outcome));
  }

  boost::asio::io_context& loop_;
  Send send_;
  std::optional<Question> cluster::ManagerMessage::* field_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, std::unique_ptr<Inquiry>> waiting_;
};

using TraceInquiries = HostInquiries<model::TraceQuestion, model::TraceAnswer>;
using ProbeInquiries = HostInquiries<model::ProbeQuestion, model::ProbeAnswer>;

}  // namespace mesh::meshd
