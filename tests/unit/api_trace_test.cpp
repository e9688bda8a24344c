// GET /mesh/trace: whom it asks first and next, and what it makes of their answers.
#include "control/api/trace.h"
#include "tests/unit/api_fixture.h"

namespace mesh::api {
namespace {

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

TEST(TraceEntry, TheTasksHostOrTheHostThatIsAsked) {
  model::EndpointTables tables;
  tables.nodes = {{"n1", 1, "host1", ip("192.0.2.1"), {ip("192.0.2.1"), ip("2001:db8::1")}, true},
                  {"n2", 2, "host2", ip("192.0.2.2"), {ip("192.0.2.2")}, true}};
  model::EndpointRow task;
  task.node = 2;
  task.ingress_v4 = ip("10.0.0.5");
  task.networks = {{"back", ip("10.1.0.5"), {}, {}}};
  tables.endpoints = {task};
  tables.services = {{"s1", "web", false, {{"back", ip("10.1.0.2"), {}, {}}}, {}}};
  EXPECT_EQ(trace_entry(tables, ip("203.0.113.9"), ip("2001:db8::1")), 1);
  EXPECT_EQ(trace_entry(tables, ip("203.0.113.9"), ip("192.0.2.2")), 2);
  EXPECT_EQ(trace_entry(tables, ip("10.1.0.5"), ip("192.0.2.1")), 2) << "a task's packets begin where it is";
  const auto vip = trace_entry(tables, ip("203.0.113.9"), ip("10.1.0.2"));
  ASSERT_FALSE(vip);
  EXPECT_NE(vip.error().message.find("virtual IP of service web"), std::string::npos);
  const auto nobody = trace_entry(tables, ip("203.0.113.9"), ip("203.0.113.8"));
  ASSERT_FALSE(nobody);
  EXPECT_NE(nobody.error().message.find("203.0.113.8 is no address of a node"), std::string::npos);
}

class ApiTrace : public ApiTest {
 protected:
  static constexpr const char* kTarget = "/mesh/trace?src=203.0.113.9:40000&dst=192.168.1.1&dport=8010";
  void SetUp() override {
    make_manager();
    swarm_.held["node1"] = {};
  }
};

TEST_F(ApiTrace, FollowsThePacketToItsEnd) {
  model::TraceAnswer first;
  first.steps = {{"uplink", "a packet", {"why"}}};
  first.next = 1;
  first.packet = "AAAA";
  first.answer = true;
  model::TraceAnswer last;
  last.steps = {{"container", "an answer", {}}};
  last.end = "answered";
  swarm_.trace_answers = {first, last};
  const Json answer = json("GET", kTarget, 200);
  ASSERT_EQ(swarm_.traced.size(), 2U);
  EXPECT_EQ(swarm_.traced[0].first, "node1");
  EXPECT_EQ(swarm_.traced[0].second.probe.destination, "192.168.1.1:8010");
  EXPECT_EQ(swarm_.traced[0].second.packet, "");
  EXPECT_EQ(swarm_.traced[1].second.packet, "AAAA");
  EXPECT_TRUE(swarm_.traced[1].second.answer);
  EXPECT_EQ(swarm_.traced[0].second.trace, swarm_.traced[1].second.trace);
  const auto& steps = answer.at("Steps").as_array();
  ASSERT_EQ(steps.size(), 2U);
  EXPECT_EQ(steps[0].at("Node"), "host1");
  EXPECT_EQ(answer.at("End"), "answered");
  EXPECT_EQ(answer.at("Error"), "");
}

TEST_F(ApiTrace, WaitsForTheNextRealPacketAndFollowsIt) {
  model::TraceAnswer first;
  first.steps = {{"uplink", "a packet", {"caught"}}};
  first.next = 1;
  model::TraceAnswer last;
  last.end = "answered";
  swarm_.trace_answers = {first, last};
  json("GET", "/mesh/trace?next=1&src=203.0.113.9&dst=192.168.1.1&dport=8010&proto=udp&timeout=5s", 200);
  ASSERT_EQ(swarm_.traced.size(), 2U);
  const model::TraceQuestion& wait = swarm_.traced[0].second;
  ASSERT_TRUE(wait.next);
  EXPECT_EQ(wait.next->source, "203.0.113.9");
  EXPECT_EQ(wait.next->destination, "192.168.1.1");
  EXPECT_EQ(wait.next->port, 8010);
  EXPECT_EQ(wait.next->protocol, "udp");
  EXPECT_EQ(wait.next->timeout, std::chrono::seconds(5));
  EXPECT_FALSE(wait.next->in_tunnel);
  EXPECT_FALSE(wait.real);
  EXPECT_FALSE(swarm_.traced[1].second.next) << "the others go on with the packet";
  EXPECT_TRUE(swarm_.traced[1].second.real);
}

TEST_F(ApiTrace, WaitsWhereItIsTold) {
  model::TraceAnswer end;
  end.end = "answered";
  for (const char* where : {"", "&node=host1", "&src=203.0.113.9:4000", "&dst=192.168.1.1"}) {
    swarm_.trace_answers = {end};
    json("GET", std::string("/mesh/trace?next=1") + where, 200);
    EXPECT_EQ(swarm_.traced.back().first, "node1") << where;
    EXPECT_EQ(swarm_.traced.back().second.next->in_tunnel, std::string_view(where).starts_with("&node")) << where;
  }
}

TEST_F(ApiTrace, APacketThatDoesNotComeIsAnError) {
  const Response response = ask("GET", "/mesh/trace?next=1");
  EXPECT_EQ(response.status, 503);
  EXPECT_NE(response.body.find("host1: the host does not answer"), std::string::npos) << response.body;
}

TEST_F(ApiTrace, WhatCannotBeAskedIsNamed) {
  model::TraceAnswer first;
  first.steps = {{"uplink", "a packet", {}}};
  first.next = 77;
  swarm_.trace_answers = {first};
  const Json lost = json("GET", kTarget, 200);
  EXPECT_EQ(lost.at("Steps").as_array().size(), 1U) << "what is known is told";
  EXPECT_EQ(lost.at("Error"), "node number 77 is no longer there");
  EXPECT_EQ(json("GET", kTarget, 200).at("Error"), "host1: the host does not answer");
  swarm_.held.clear();
  EXPECT_EQ(json("GET", kTarget, 200).at("Error"), "host1 has no session with this manager and cannot be asked");
}

TEST_F(ApiTrace, GoesRoundOnlySoOften) {
  model::TraceAnswer round;
  round.next = 1;
  swarm_.trace_answers.assign(100, round);
  EXPECT_EQ(json("GET", kTarget, 200).at("Error"), "the packet goes round and round");
}

TEST_F(ApiTrace, MistakesAreNamed) {
  for (const auto& [query, words] :
       {std::pair{"src=x&dst=192.168.1.1&dport=80", "src"}, std::pair{"src=1.2.3.4:5&dst=x&dport=80", "dst"},
        std::pair{"src=1.2.3.4:5&dst=192.168.1.1&dport=0", "dport"},
        std::pair{"src=1.2.3.4:5&dst=192.168.1.1&dport=80&proto=sctp", "proto"},
        std::pair{"src=1.2.3.4:5&dst=fd00::1&dport=80", "IPv6"}, std::pair{"next=1&src=x", "src"},
        std::pair{"next=1&dst=192.168.1.1:x", "dst"}, std::pair{"next=1&dport=0", "dport"},
        std::pair{"next=1&proto=sctp", "proto"}, std::pair{"next=1&timeout=x", "timeout"},
        std::pair{"next=1&timeout=0", "timeout"}, std::pair{"next=1&timeout=11m", "10m"},
        std::pair{"next=1&src=::1&dst=192.168.1.1", "IPv6"},
        std::pair{"next=1&dst=192.0.2.99", "no address of a node"}}) {
    const Response response = ask("GET", std::string("/mesh/trace?") + query);
    EXPECT_EQ(response.status, 400) << query;
    EXPECT_NE(response.body.find(words), std::string::npos) << response.body;
  }
}

}  // namespace
}  // namespace mesh::api
