// GET /mesh/direct-answers: who sends what in whose name, and what is made of what was heard.
#include "tests/unit/api_fixture.h"

namespace mesh::api {
namespace {

using model::ProbeStep;

class ApiDirectAnswers : public ApiTest {
 protected:
  void SetUp() override {
    make_manager();
    for (const std::uint32_t number : {2U, 3U}) {
      const std::string name = std::to_string(number);
      manager::NodeJoin node;
      node.id = "node" + name;
      node.hostname = "host" + name;
      ASSERT_TRUE(swarm_.real->add_node(node, now_));
      manager::SessionStart session;
      session.description.hostname = node.hostname;
      session.address = IpAddress::v4(0xc0a80100 + number);
      session.addresses = {session.address};
      ASSERT_TRUE(swarm_.real->session_opened(node.id, session, now_));
    }
    ASSERT_TRUE(swarm_.real->tick(now_));
    for (const char* id : {"node1", "node2", "node3"}) swarm_.held[id] = {};
  }
  void hear(const std::string& by, std::uint16_t sender, const char* source) {
    swarm_.heard_probes[by].push_back({sender, *IpAddress::parse(source)});
  }
  // node1 sends as 2 to node3, as 3 to node2, and so on round.
  void hear_everything() {
    const std::string host[] = {"node1", "node2", "node3"};
    for (std::uint16_t from = 1; from <= 3; ++from) {
      for (std::uint16_t to = 1; to <= 3; ++to) {
        for (std::uint16_t as = 1; as <= 3 && to != from; ++as) {
          hear(host[to - 1], from, ("192.168.1." + std::to_string(as)).c_str());
        }
      }
    }
  }
};

TEST_F(ApiDirectAnswers, AllListenBeforeAnyoneSends) {
  hear_everything();
  const Json answer = json("GET", "/mesh/direct-answers", 200);
  EXPECT_EQ(to_text(answer), R"({"Hosts":3,"Pairs":6,"Dropped":[],"Silent":[],"Errors":[]})");
  ASSERT_EQ(swarm_.probed.size(), 9U);
  const ProbeStep steps[] = {ProbeStep::kListen, ProbeStep::kSend, ProbeStep::kTell};
  for (std::size_t i = 0; i < swarm_.probed.size(); ++i) {
    EXPECT_EQ(swarm_.probed[i].second.step, steps[i / 3]);
    EXPECT_EQ(swarm_.probed[i].second.token, swarm_.probed[0].second.token);
  }
  std::vector<std::string> sent;
  for (const auto& [source, destination] : swarm_.probed[3].second.probes) {
    sent.push_back(source.to_string() + " to " + destination.to_string());
  }
  EXPECT_EQ(sent, (std::vector<std::string>{"192.168.1.2 to 192.168.1.3", "192.168.1.1 to 192.168.1.3",
                                            "192.168.1.3 to 192.168.1.2", "192.168.1.1 to 192.168.1.2"}))
      << "in the others' names to a third, and in its own to compare";
}

TEST_F(ApiDirectAnswers, WhatDoesNotComeIsNamed) {
  hear_everything();
  std::erase_if(swarm_.heard_probes["node1"],
                [](const auto& one) { return one.sender == 2 && one.source != IpAddress::parse("192.168.1.2"); });
  std::erase_if(swarm_.heard_probes["node2"], [](const auto& one) { return one.sender == 3; });
  const Json answer = json("GET", "/mesh/direct-answers", 200);
  EXPECT_EQ(to_text(answer.at("Dropped")), R"([{"From":"host2","As":"host3","To":"host1"}])");
  EXPECT_EQ(to_text(answer.at("Silent")), R"([{"From":"host3","To":"host2"}])") << "nothing is said of its answers";
  EXPECT_EQ(answer.at("Pairs"), 5);
}

TEST_F(ApiDirectAnswers, AHostThatDoesNotAnswerIsLeftOut) {
  hear_everything();
  swarm_.mute_hosts = {"node3"};
  const Json answer = json("GET", "/mesh/direct-answers", 200);
  EXPECT_EQ(to_text(answer.at("Errors")), R"(["host3: the host does not answer"])");
  EXPECT_EQ(to_text(answer.at("Dropped")), "[]");
}

}  // namespace
}  // namespace mesh::api
