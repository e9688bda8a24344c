#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/meshctl/doctor.h"

namespace mesh::meshctl {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kStatus = R"({"Version":"1","Tables":{"Epoch":1,"Version":7},"Problems":[],
  "Swarm":{"State":"active","NodeID":"a","Manager":true,"Session":true,"Error":""},
  "Nodes":[{"ID":"a","Hostname":"node1","State":"ready","Session":true,"Acknowledged":{"Epoch":1,"Version":7}},
           {"ID":"b","Hostname":"node2","State":"ready","Session":true,"Acknowledged":{"Epoch":1,"Version":7}}]})";
constexpr const char* kKernel = R"({"Uplinks":[{"Name":"eth0","Mode":"tc","Why":"chosen because of veth"}],
  "Hooks":[{"Name":"eth0 ingress","Desired":true,"Attached":true}],"Problems":[],"Differences":[]})";

// `text` with `from` in it replaced: one thing is not as it should be.
Json changed(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return *parse_json(text);
}

Diagnosis diagnosis(const Json& status, const Result<Json>& kernel, const std::vector<model::Service>& services = {}) {
  auto found = diagnose(status, kernel, services);
  EXPECT_TRUE(found) << found.error().message;
  return found ? *found : Diagnosis{};
}

TEST(Doctor, AllIsWell) {
  const auto found = diagnosis(*parse_json(kStatus), parse_json(kKernel));
  EXPECT_EQ(found.problems, 0U);
  EXPECT_EQ(found.text,
            "[ok]      uplink eth0: programs run as tc, chosen because of veth\n"
            "[ok]      kernel of this host: holds what it should\n"
            "[ok]      2 nodes: all hold the newest tables\n");
}

TEST(Doctor, NamesWhatIsWrongInTheKernel) {
  struct Case {
    const char* from;
    const char* to;
    const char* says;
  };
  const Case table[] = {
      {R"("Problems":[])", R"("Problems":["8010/tcp: in use by httpd"])",
       "kernel of this host: 8010/tcp: in use by httpd"},
      {R"("Attached":true)", R"("Attached":false)", "the program of eth0 ingress is not attached"},
      {R"("Desired":true)", R"("Desired":false)", "eth0 ingress is attached and should not be"},
      {R"("Differences":[])", R"("Differences":["a node is missing"])", "differs from the tables: a node is missing"},
  };
  for (const auto& [from, to, says] : table) {
    const auto found = diagnosis(*parse_json(kStatus), changed(kKernel, from, to));
    EXPECT_EQ(found.problems, 1U) << found.text;
    EXPECT_THAT(found.text, HasSubstr(std::string("[problem] kernel of this host")));
    EXPECT_THAT(found.text, HasSubstr(says));
    EXPECT_THAT(found.text, Not(HasSubstr("holds what it should")));
  }
  const auto closed = diagnosis(*parse_json(kStatus), fail(ErrorKind::kUnavailable, "the data plane is not open: why"));
  EXPECT_EQ(closed.problems, 1U);
  EXPECT_THAT(closed.text, HasSubstr("[problem] kernel of this host: the data plane is not open: why\n"));
}

TEST(Doctor, NamesWhatIsWrongInTheCluster) {
  struct Case {
    const char* from;
    const char* to;
    const char* says;
  };
  const Case table[] = {
      {R"("node2","State":"ready","Session":true)", R"("node2","State":"down","Session":false)",
       "[problem] node2 has no session with the manager"},
      {R"("node2","State":"ready","Session":true,"Acknowledged":{"Epoch":1,"Version":7})",
       R"("node2","State":"ready","Session":true,"Acknowledged":{"Epoch":1,"Version":6})",
       "node2 has not acknowledged the newest tables (it holds 1/6, 1/7 is the newest)"},
      {R"("node2","State":"ready","Session":true,"Acknowledged":{"Epoch":1,"Version":7})",
       R"("node2","State":"ready","Session":true)", "(it holds none, 1/7 is the newest)"},
      {R"("node2",)", R"("node2","Problems":["8010/tcp: in use"],)", "[problem] node2: 8010/tcp: in use"},
      {R"("Problems":[])", R"("Problems":["label capacity"])", "[problem] label capacity"},
      {R"("Error":"")", R"("Error":"clock is wrong")", "[problem] cluster: clock is wrong"},
      {R"("Manager":true,"Session":true)", R"("Manager":false,"Session":false)",
       "[problem] no session with the manager"},
  };
  for (const auto& [from, to, says] : table) {
    const auto found = diagnosis(changed(kStatus, from, to), parse_json(kKernel));
    EXPECT_EQ(found.problems, 1U) << found.text;
    EXPECT_THAT(found.text, HasSubstr(says));
  }
}

TEST(Doctor, AWorkerAndAHostInNoCluster) {
  auto found = diagnosis(changed(kStatus, R"("Manager":true)", R"("Manager":false)"), parse_json(kKernel));
  EXPECT_EQ(found.problems, 0U);
  EXPECT_THAT(found.text, HasSubstr("[ok]      session with the manager"));
  found = diagnosis(changed(kStatus, R"("State":"active")", R"("State":"inactive")"),
                    fail(ErrorKind::kUnavailable, "this host is in no cluster"));
  EXPECT_EQ(found.problems, 0U);
  EXPECT_THAT(found.text, HasSubstr("in no cluster"));
}

TEST(Doctor, SaysWhatProbesOfDirectAnswersFound) {
  std::vector<model::Service> direct(1);
  direct[0].spec.name = "web";
  direct[0].spec.labels = {{"mesh.return", "dsr"}};
  direct[0].endpoint.ports = {{.target_port = 80, .published_port = 8010}};
  constexpr const char* kFine = R"({"Hosts":2,"Pairs":2,"Dropped":[],"Silent":[],"Errors":[]})";
  constexpr const char* kDropped =
      R"({"Hosts":3,"Pairs":6,"Dropped":[{"From":"node2","As":"node1","To":"node3"}],"Silent":[],"Errors":[]})";
  const std::string drops =
      "the underlay drops direct answers from node2: its packets with the address of node1 do not reach node3; use "
      "--mesh-return tunnel";
  struct Case {
    Result<Json> answer;
    bool used;  // a service answers directly
    std::size_t problems;
    std::string says;
  };
  const Case table[] = {
      {parse_json(kFine), true, 0,
       "[ok]      direct answers (mesh.return=dsr): the underlay between hosts carries them, 2"},
      {parse_json(kDropped), true, 1, "[problem] " + drops},
      {parse_json(kDropped), false, 0, "[advice]  " + drops},
      {parse_json(
           R"({"Hosts":2,"Pairs":1,"Dropped":[],"Silent":[{"From":"node1","To":"node2"}],"Errors":["node3: no"]})"),
       true, 0, "[advice]  direct answers of node1 were not probed"},
      {fail(ErrorKind::kNotFound, "page not found"), true, 0, "were not probed: page not found"},
  };
  for (const auto& [answer, used, problems, says] : table) {
    const auto found =
        diagnose(*parse_json(kStatus), parse_json(kKernel), used ? direct : std::vector<model::Service>{}, answer);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->problems, problems) << found->text;
    EXPECT_THAT(found->text, HasSubstr(says));
  }
  EXPECT_TRUE(may_answer_directly(*parse_json(kStatus)));
  EXPECT_FALSE(may_answer_directly(changed(kStatus, R"("Manager":true)", R"("Manager":false)")));
}

TEST(Doctor, AdvisesOnDirectAnswers) {
  std::vector<model::Service> services(4);
  services[0].spec.name = "web10";
  services[1].spec.name = "web2";
  services[2].spec.name = "plain";
  services[3].spec.name = "inside";
  for (model::Service& service : services) service.spec.labels = {{"mesh.return", "dsr"}};
  services[2].spec.labels.clear();
  for (std::size_t i = 0; i < 3; ++i) services[i].endpoint.ports = {{.target_port = 80, .published_port = 8010}};
  const auto found = diagnosis(*parse_json(kStatus), parse_json(kKernel), services);
  EXPECT_EQ(found.problems, 0U) << "an underlay may well let them pass";
  EXPECT_THAT(found.text, HasSubstr("[advice]  web2, web10 (mesh.return=dsr): "));
  EXPECT_THAT(found.text, HasSubstr("rp_filter"));
}

}  // namespace
}  // namespace mesh::meshctl
