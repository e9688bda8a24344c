#include <gtest/gtest.h>

#include "control/meshctl/publish_options.h"
#include "control/meshctl/service_flags.h"

namespace mesh::meshctl {
namespace {

CreateFlags minimal() {
  CreateFlags flags;
  flags.image = "nginx";
  return flags;
}

TEST(MakeSpec, BecomesTheJsonOfTheApi) {
  auto flags = minimal();
  flags.name = "web";
  flags.args = {"-x", "y"};
  flags.env = {"A=1", "B=2", "A=3"};
  flags.labels = {"tier=front"};
  flags.publish = {"8010:80"};
  flags.networks = {"name=net,alias=w"};
  flags.constraints = {"node.role==worker"};
  flags.common.replicas = 3;
  flags.common.limit_cpu = "0.5";
  flags.common.limit_memory = "64m";
  flags.common.update.delay = "2s";
  const auto spec = make_spec(flags);
  ASSERT_TRUE(spec) << spec.error().message;
  const auto expected = parse_json(R"({
    "Name":"web","Labels":{"tier":"front"},
    "TaskTemplate":{
      "ContainerSpec":{"Image":"nginx","Args":["-x","y"],"Env":["B=2","A=3"]},
      "Resources":{"Limits":{"NanoCPUs":500000000,"MemoryBytes":67108864}},
      "Placement":{"Constraints":["node.role==worker"]},
      "Networks":[{"Target":"net","Aliases":["w"]}],"ForceUpdate":0},
    "Mode":{"Replicated":{"Replicas":3}},
    "UpdateConfig":{"Parallelism":1,"Delay":2000000000,"MaxFailureRatio":0.0,"Order":""},
    "EndpointSpec":{"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8010,"PublishMode":"ingress"}]}})");
  EXPECT_EQ(encode(*spec), *expected) << to_pretty_text(encode(*spec));
}

TEST(MakeSpec, HasOneReplicaByDefaultAndNoneIfGlobal) {
  EXPECT_EQ(make_spec(minimal())->mode.replicated->replicas, 1u);
  auto flags = minimal();
  flags.mode = "global";
  EXPECT_TRUE(make_spec(flags)->mode.global);
  flags.common.replicas = 2;
  EXPECT_FALSE(make_spec(flags));
}

TEST(MakeSpec, RefusesWhatItDoesNotUnderstandAndNamesTheFlag) {
  const std::pair<const char*, void (*)(CreateFlags&)> table[] = {
      {"--publish", [](CreateFlags& f) { f.publish = {"x"}; }},
      {"--limit-cpu", [](CreateFlags& f) { f.common.limit_cpu = "many"; }},
      {"--limit-memory", [](CreateFlags& f) { f.common.limit_memory = "64q"; }},
      {"--reserve-memory", [](CreateFlags& f) { f.common.reserve_memory = "q"; }},
      {"--restart-condition", [](CreateFlags& f) { f.common.restart_condition = "sometimes"; }},
      {"--restart-delay", [](CreateFlags& f) { f.common.restart_delay = "5"; }},
      {"--update-order", [](CreateFlags& f) { f.common.update.order = "first"; }},
      {"--rollback-failure-action", [](CreateFlags& f) { f.common.rollback.failure_action = "weep"; }},
      {"--endpoint-mode", [](CreateFlags& f) { f.common.endpoint_mode = "anycast"; }},
      {"--health-interval", [](CreateFlags& f) { f.common.health_interval = "often"; }},
      {"--mode", [](CreateFlags& f) { f.mode = "double"; }},
      {"--entrypoint", [](CreateFlags& f) { f.common.entrypoint = "'open"; }},
  };
  for (const auto& [flag, set] : table) {
    auto flags = minimal();
    set(flags);
    const auto spec = make_spec(flags);
    ASSERT_FALSE(spec) << flag;
    EXPECT_NE(spec.error().message.find(flag), std::string::npos) << spec.error().message;
  }
}

TEST(MakeSpec, HealthFlagsExcludeNoHealthcheck) {
  auto flags = minimal();
  flags.common.no_healthcheck = true;
  EXPECT_EQ(make_spec(flags)->task_template.container_spec->healthcheck->test, std::vector<std::string>{"NONE"});
  flags.common.health_cmd = "true";
  EXPECT_FALSE(make_spec(flags));
  flags.common.no_healthcheck.reset();
  EXPECT_EQ(make_spec(flags)->task_template.container_spec->healthcheck->test,
            (std::vector<std::string>{"CMD-SHELL", "true"}));
}

TEST(MakeSpec, OptionsOfTheMeshBecomeLabels) {
  auto flags = minimal();
  flags.labels = {"tier=front"};
  flags.common.mesh = {"dsr", "client-ip:10m", std::nullopt, "capacity"};
  flags.publish = {"10.0.0.5:8010:80", "10.0.0.6:8010:80", "53:53/udp"};
  const auto spec = make_spec(flags);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->labels, (model::Labels{{"mesh.affinity", "client-ip:10m"},
                                         {"mesh.port.8010/tcp.address", "10.0.0.5,10.0.0.6"},
                                         {"mesh.return", "dsr"},
                                         {"mesh.weight", "capacity"},
                                         {"tier", "front"}}));
  EXPECT_EQ(spec->endpoint_spec->ports.size(), 2U);
}

class ChangeSpec : public testing::Test {
 protected:
  ChangeSpec() {
    auto flags = minimal();
    flags.name = "web";
    flags.env = {"A=1", "B=2"};
    flags.labels = {"x=1", "y=2"};
    flags.publish = {"8010:80", "53:53/udp"};
    flags.constraints = {"node.role==worker"};
    spec_ = *make_spec(flags);
  }
  model::ServiceSpec spec_;
  UpdateServiceFlags flags_;
};

TEST_F(ChangeSpec, WithoutFlagsIsNoChange) { EXPECT_EQ(*change_spec(spec_, flags_), spec_); }

TEST_F(ChangeSpec, ChangesOnlyWhatIsNamed) {
  flags_.image = "nginx:2";
  flags_.env = {{"B=3", "C=4"}, {"A"}};
  flags_.labels = {{"z=3"}, {"x", "absent"}};
  flags_.constraints = {{"node.labels.disk==ssd"}, {"node.role==worker"}};
  flags_.common.replicas = 5;
  const auto spec = *change_spec(spec_, flags_);
  EXPECT_EQ(spec.task_template.container_spec->image, "nginx:2");
  EXPECT_EQ(spec.task_template.container_spec->env, (std::vector<std::string>{"B=3", "C=4"}));
  EXPECT_EQ(spec.labels, (model::Labels{{"y", "2"}, {"z", "3"}}));
  EXPECT_EQ(spec.task_template.placement->constraints, std::vector<std::string>{"node.labels.disk==ssd"});
  EXPECT_EQ(spec.mode.replicated->replicas, 5u);
  EXPECT_EQ(spec.endpoint_spec, spec_.endpoint_spec);
}

TEST_F(ChangeSpec, PortsAreRemovedByTarget) {
  flags_.publish = {{"8020:80"}, {"80"}};
  const auto ports = change_spec(spec_, flags_)->endpoint_spec->ports;
  ASSERT_EQ(ports.size(), 2u);
  EXPECT_EQ(ports[0].published_port, 53);
  EXPECT_EQ(ports[1].published_port, 8020);
  flags_.publish = {{}, {"53/tcp"}};  // it is published as UDP
  EXPECT_FALSE(change_spec(spec_, flags_));
}

TEST_F(ChangeSpec, OptionsOfTheMeshLeaveTheTasksAlone) {
  flags_.common.mesh = {"dsr", std::nullopt, "local", "capacity"};
  const auto spec = *change_spec(spec_, flags_);
  EXPECT_EQ(
      spec.labels,
      (model::Labels{
          {"mesh.prefer", "local"}, {"mesh.return", "dsr"}, {"mesh.weight", "capacity"}, {"x", "1"}, {"y", "2"}}));
  EXPECT_EQ(spec.task_template, spec_.task_template);
  flags_.common.mesh = {"", "", "", ""};
  EXPECT_EQ(change_spec(spec, flags_)->labels, spec_.labels);
}

TEST_F(ChangeSpec, ARemovedPortTakesItsOptionsAlong) {
  spec_.labels["mesh.port.8010/tcp.allow"] = "10.0.0.1";
  spec_.labels["mesh.port.53/udp.on"] = "node.role==worker";
  flags_.publish = {{"10.0.0.5:8020:80"}, {"80"}};
  EXPECT_EQ(change_spec(spec_, flags_)->labels, (model::Labels{{"mesh.port.53/udp.on", "node.role==worker"},
                                                               {"mesh.port.8020/tcp.address", "10.0.0.5"},
                                                               {"x", "1"},
                                                               {"y", "2"}}));
}

// What `publish` says of a port, in order; the labels after each.
TEST_F(ChangeSpec, PublishSetsWhatIsGivenAndLeavesTheRest) {
  spec_.labels.clear();
  struct Step {
    const char* text;
    PublishOptions options;
    model::Labels after;
  };
  const Step steps[] = {
      {"8010:80", {}, {}},
      {"8010:80", {{"192.0.2.0/24", "10.0.0.1"}, {}}, {{"mesh.port.8010/tcp.allow", "192.0.2.0/24,10.0.0.1"}}},
      {"8010:80",
       {{}, {"node.labels.edge==true"}},
       {{"mesh.port.8010/tcp.allow", "192.0.2.0/24,10.0.0.1"}, {"mesh.port.8010/tcp.on", "node.labels.edge==true"}}},
      {"10.0.0.5:8010:80",
       {{""}, {}},
       {{"mesh.port.8010/tcp.address", "10.0.0.5"}, {"mesh.port.8010/tcp.on", "node.labels.edge==true"}}},
      {"8010:80", {{}, {""}}, {{"mesh.port.8010/tcp.address", "10.0.0.5"}}},
      {"[2001:db8::5]:8010:80", {}, {{"mesh.port.8010/tcp.address", "2001:db8::5"}}},
      {"eth1:8010:80", {}, {{"mesh.port.8010/tcp.interface", "eth1"}}},
      {"0.0.0.0:8010:80", {}, {}},
      {"8030-8031:80-81/udp",
       {{"10.0.0.1"}, {}},
       {{"mesh.port.8030/udp.allow", "10.0.0.1"}, {"mesh.port.8031/udp.allow", "10.0.0.1"}}},
  };
  for (const auto& [text, options, after] : steps) {
    const Status published = publish_ports(spec_, "publish", {text}, options);
    ASSERT_TRUE(published) << published.error().message;
    EXPECT_EQ(spec_.labels, after) << text;
  }
  for (const auto& [text, options] :
       {std::pair{"80", PublishOptions{{"10.0.0.1"}, {}}}, std::pair{"80", PublishOptions{{}, {"a==b"}}}}) {
    const Status refused = publish_ports(spec_, "publish", {text}, options);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("needs a published port"), std::string::npos) << refused.error().message;
  }
}

TEST_F(ChangeSpec, ForceCountsUp) {
  flags_.force = true;
  EXPECT_EQ(change_spec(spec_, flags_)->task_template.force_update, 1u);
}

TEST_F(ChangeSpec, AddPortKeepsOnePerPublishedPort) {
  model::PortConfig port;
  port.protocol = model::PortProtocol::kTcp;
  port.published_port = 8010;
  port.target_port = 80;
  EXPECT_FALSE(add_port(spec_, port));  // it is there
  port.target_port = 81;
  EXPECT_TRUE(add_port(spec_, port));
  EXPECT_EQ(spec_.endpoint_spec->ports.size(), 2u);
  EXPECT_EQ(spec_.endpoint_spec->ports[0].target_port, 81);
  port.protocol = model::PortProtocol::kUdp;
  EXPECT_TRUE(add_port(spec_, port));
  EXPECT_EQ(spec_.endpoint_spec->ports.size(), 3u);
}

}  // namespace
}  // namespace mesh::meshctl
