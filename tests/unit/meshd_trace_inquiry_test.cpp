// Questions about traced packets: one that waits for a packet is renewed as long as somebody wants its answer.
#include <boost/asio.hpp>
#include <gtest/gtest.h>

#include "control/meshd/host_inquiry.h"

namespace mesh::meshd {
namespace {

model::TraceQuestion waiting() {
  model::TraceQuestion question;
  question.trace = "t";
  question.next.emplace();
  question.next->timeout = std::chrono::seconds(30);
  return question;
}

struct Node {
  boost::asio::io_context loop;
  std::vector<model::TraceQuestion> asked;
  TraceInquiries inquiries{loop,
                           [this](const std::string&, const cluster::ManagerMessage& message) {
                             asked.push_back(*message.trace_question);
                             if (on_question) on_question();
                           },
                           &cluster::ManagerMessage::trace_question};
  std::function<void()> on_question;
};

TEST(TraceInquiries, IsRenewedUntilTheAnswerComes) {
  Node node;
  std::optional<Result<model::TraceAnswer>> got;
  node.on_question = [&] {
    if (node.asked.size() != 2) return;
    model::TraceAnswer answer;
    answer.id = node.asked[1].id;
    answer.end = "answered";
    node.inquiries.answer("n", answer);
  };
  node.inquiries.ask("n", waiting(), [] { return true; }, [&](const auto& answer) { got = answer; });
  node.loop.run();  // until no timer is left
  ASSERT_EQ(node.asked.size(), 2U);
  EXPECT_FALSE(node.asked[0].renewal);
  EXPECT_TRUE(node.asked[1].renewal);
  EXPECT_EQ(node.asked[0].id, node.asked[1].id);
  ASSERT_TRUE(got && *got);
  EXPECT_EQ((*got)->end, "answered");
}

TEST(TraceInquiries, NotWantedAnyMoreIsForgotten) {
  Node node;
  bool heard = false;
  node.inquiries.ask("n", waiting(), [] { return false; }, [&](const auto&) { heard = true; });
  node.loop.run();
  EXPECT_EQ(node.asked.size(), 1U) << "the node gives up by itself";
  EXPECT_FALSE(heard);
}

TEST(TraceInquiries, ALostSessionIsAnAnswer) {
  Node node;
  std::string why;
  node.inquiries.ask("n", waiting(), [] { return true; }, [&](const auto& answer) { why = answer.error().message; });
  node.inquiries.lost("n");
  node.loop.run();
  EXPECT_NE(why.find("session ended"), std::string::npos);
  EXPECT_EQ(node.asked.size(), 1U);
}

}  // namespace
}  // namespace mesh::meshd
