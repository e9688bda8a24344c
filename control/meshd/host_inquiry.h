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
  using Wanted = std::function<bool()>;

  // `field`: where the message carries the question.
  HostInquiries(boost::asio::io_context& loop, Send send, std::optional<Question> cluster::ManagerMessage::* field)
      : loop_(loop), send_(std::move(send)), field_(field) {}
  // Questions that wait are given up; their `done` is not called.
  ~HostInquiries() = default;
  HostInquiries(const HostInquiries&) = delete;
  HostInquiries& operator=(const HostInquiries&) = delete;

  // Calls `done` once, later. The node has a session.
  void ask(const std::string& node, Question question, Done done) {
    ask(node, std::move(question), nullptr, std::move(done));
  }
  // A question that waits for a packet (its `next`) is asked again and again as long as its answer is `wanted`; when it
  // no more is, it is forgotten, here and by the node.
  void ask(const std::string& node, Question question, Wanted wanted, Done done) {
    const std::uint64_t id = ++last_id_;
    auto& inquiry = *(waiting_[id] = std::make_unique<Inquiry>(loop_));
    inquiry.node = node;
    inquiry.done = std::move(done);
    inquiry.timer.expires_after(patience(question));
    inquiry.timer.async_wait([this, id](const boost::system::error_code& error) {
      if (error) return;  // answered, or we are gone
      finish(id, fail(ErrorKind::kTimeout, "the host does not answer; 'meshctl status' tells whether it is well"));
    });
    question.id = id;
    cluster::ManagerMessage message;
    message.*field_ = std::move(question);
    if (wanted && waits(*(message.*field_))) {
      inquiry.wanted = std::move(wanted);
      inquiry.message = message;
      renew(id);
    }
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
    explicit Inquiry(boost::asio::io_context& loop) : timer(loop), renewal(loop) {}
    std::string node;
    cluster::ManagerMessage message;  // of one that is renewed
    Wanted wanted;
    Done done;
    boost::asio::steady_timer timer, renewal;
  };

  static bool waits(const Question& question) {
    if constexpr (requires { question.next; }) return question.next.has_value();
    return false;
  }

  static std::chrono::nanoseconds patience(const Question& question) {
    // A host loads the programs once more for its first trace, and may be busy.
    constexpr auto kTimeout = std::chrono::seconds(20);
    if constexpr (requires { question.next; }) {
      if (question.next) return kTimeout + question.next->timeout;
    }
    return kTimeout;
  }

  void renew(std::uint64_t id) {
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
      if constexpr (requires(Question question) { question.renewal; }) {
        (found->second->message.*field_)->renewal = true;
      }
      send_(found->second->node, found->second->message);
    });
  }

  void finish(std::uint64_t id, Result<Answer> outcome) {
    const auto inquiry = waiting_.extract(id);
    if (inquiry.empty()) return;
    inquiry.mapped()->timer.cancel();
    inquiry.mapped()->renewal.cancel();
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
