// Docker's limits on what users send, as a table: one change to a good spec, and what the refusal says.
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/model/validate.h"

namespace mesh::model {
namespace {

ServiceSpec good() {
  ServiceSpec spec;
  spec.name = "web";
  spec.task_template.container_spec.emplace().image = "nginx";
  spec.endpoint_spec.emplace().ports = {{.target_port = 80, .published_port = 8010}};
  return spec;
}

struct Case {
  const char* name;
  std::function<void(ServiceSpec&)> change;
  const char* refused;  // part of the message; "": accepted
};

std::vector<Case> task_cases() {
  const auto limits = [](ServiceSpec& s) -> ResourceLimits& {
    return s.task_template.resources.emplace().limits.emplace();
  };
  return {
      {"Good", [](ServiceSpec&) {}, ""},
      {"NameMissing", [](ServiceSpec& s) { s.name.clear(); }, "DNS name component"},
      {"NameOf63", [](ServiceSpec& s) { s.name = std::string(63, 'a'); }, ""},
      {"NameOf64", [](ServiceSpec& s) { s.name = std::string(64, 'a'); }, "63 characters or fewer"},
      {"NameOfStack", [](ServiceSpec& s) { s.name = "todo_todo-web"; }, ""},
      {"NameWithDot", [](ServiceSpec& s) { s.name = "a.b"; }, "DNS name component"},
      {"NameEndsInHyphen", [](ServiceSpec& s) { s.name = "a-"; }, "DNS name component"},
      {"NoContainer", [](ServiceSpec& s) { s.task_template.container_spec.reset(); }, "ContainerSpec is required"},
      {"NoImage", [](ServiceSpec& s) { s.task_template.container_spec->image.clear(); },
       "image reference must be provided"},
      {"ImageWithSpace", [](ServiceSpec& s) { s.task_template.container_spec->image = "a b"; },
       "not a valid repository"},
      {"LittleMemory", [=](ServiceSpec& s) { limits(s).memory_bytes = (4 << 20) - 1; }, "Must be at least 4MiB"},
      {"EnoughMemory", [=](ServiceSpec& s) { limits(s).memory_bytes = 4 << 20; }, ""},
      {"LittleCpu", [=](ServiceSpec& s) { limits(s).nano_cpus = 999'999; }, "Must be at least 0.001"},
      {"EnoughCpu", [=](ServiceSpec& s) { limits(s).nano_cpus = 1'000'000; }, ""},
      {"NegativeMemory", [=](ServiceSpec& s) { limits(s).memory_bytes = -1; }, "Must be at least 4MiB"},
      {"NegativePids", [=](ServiceSpec& s) { limits(s).pids = -1; }, "pids"},
      {"LittleReservation",
       [](ServiceSpec& s) { s.task_template.resources.emplace().reservations.emplace().memory_bytes = 1; }, "4MiB"},
      {"MountTwice",
       [](ServiceSpec& s) {
         s.task_template.container_spec->mounts = {{.source = "a", .target = "/x"}, {.source = "b", .target = "/x"}};
       },
       "duplicate mount point: /x"},
      {"NetworkTwice", [](ServiceSpec& s) { s.task_template.networks = {{.target = "n"}, {.target = "n"}}; },
       "attached twice"},
      {"NegativeDelay",
       [](ServiceSpec& s) { s.task_template.restart_policy.emplace().delay = std::chrono::seconds(-1); },
       "restart-delay cannot be negative"},
      {"ShortHealthInterval",
       [](ServiceSpec& s) {
         s.task_template.container_spec->healthcheck.emplace().interval = std::chrono::microseconds(10);
       },
       "Interval in Healthcheck cannot be less than 1ms"},
      {"FailureRatio", [](ServiceSpec& s) { s.update_config.emplace().max_failure_ratio = 1.5; }, "bigger than 1"},
      {"RollbackOfRollback",
       [](ServiceSpec& s) { s.rollback_config.emplace().failure_action = FailureAction::kRollback; },
       "cannot be rolled back"},
      {"TwoModes",
       [](ServiceSpec& s) {
         s.mode.global.emplace();
         s.mode.replicated.emplace();
       },
       "only one service mode"},
      {"TooManyReplicas", [](ServiceSpec& s) { s.mode.replicated.emplace().replicas = 10'001; }, "limit of 10000"},
      {"BadConstraint", [](ServiceSpec& s) { s.task_template.placement.emplace().constraints = {"node.role=manager"}; },
       "expected one operator"},
  };
}

std::vector<Case> port_cases() {
  return {
      {"SamePortTwice",
       [](ServiceSpec& s) { s.endpoint_spec->ports.push_back({.target_port = 81, .published_port = 8010}); },
       "duplicate published ports"},
      {"SamePortOtherProtocol",
       [](ServiceSpec& s) {
         s.endpoint_spec->ports.push_back({.protocol = PortProtocol::kUdp, .target_port = 81, .published_port = 8010});
       },
       ""},
      {"RandomPortTwice", [](ServiceSpec& s) { s.endpoint_spec->ports = {{.target_port = 80}, {.target_port = 80}}; },
       ""},
      {"Host", [](ServiceSpec& s) { s.endpoint_spec->ports[0].publish_mode = PublishMode::kHost; }, ""},
      {"HostWithoutNumber",
       [](ServiceSpec& s) { s.endpoint_spec->ports = {{.target_port = 80, .publish_mode = PublishMode::kHost}}; },
       "name it: published=NUMBER,target=80,mode=host"},
      {"HostAndIngress",
       [](ServiceSpec& s) {
         s.endpoint_spec->ports.push_back(
             {.target_port = 80, .published_port = 8010, .publish_mode = PublishMode::kHost});
       },
       "duplicate published ports"},
      {"DnsrrWithHost",
       [](ServiceSpec& s) {
         s.endpoint_spec->mode = ResolutionMode::kDnsrr;
         s.endpoint_spec->ports[0].publish_mode = PublishMode::kHost;
       },
       ""},
      {"SctpUnderAnotherPort",
       [](ServiceSpec& s) {
         s.endpoint_spec->ports[0] = {
             .protocol = PortProtocol::kSctp, .target_port = 5000, .published_port = 5001, .publish_mode = {}};
       },
       "port 5000 is to be published for sctp under 5001; SCTP's checksum covers the ports, so none is changed on the "
       "way: publish it as 5000:5000/sctp"},
      {"SctpUnderAnyPort",
       [](ServiceSpec& s) {
         s.endpoint_spec->ports[0] = {
             .protocol = PortProtocol::kSctp, .target_port = 5000, .published_port = 0, .publish_mode = {}};
       },
       "for sctp under a number of the cluster's choice"},
      {"Sctp",
       [](ServiceSpec& s) {
         s.endpoint_spec->ports[0] = {
             .protocol = PortProtocol::kSctp, .target_port = 5000, .published_port = 5000, .publish_mode = {}};
         s.endpoint_spec->ports.push_back({.target_port = 80, .published_port = 5000});
       },
       ""},
      {"NoTargetPort", [](ServiceSpec& s) { s.endpoint_spec->ports[0].target_port = 0; }, "no target port"},
      {"DnsrrWithIngress", [](ServiceSpec& s) { s.endpoint_spec->mode = ResolutionMode::kDnsrr; },
       "can't be used with dnsrr mode"},
  };
}

std::vector<Case> cases() {
  std::vector<Case> all = task_cases();
  for (const Case& one : port_cases()) all.push_back(one);
  return all;
}

class ValidateService : public testing::TestWithParam<Case> {};

TEST_P(ValidateService, Says) {
  ServiceSpec spec = good();
  GetParam().change(spec);
  const Status status = validate_service_spec(spec);
  if (*GetParam().refused == '\0') {
    EXPECT_TRUE(status) << status.error().message;
  } else {
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message, testing::HasSubstr(GetParam().refused));
  }
}
INSTANTIATE_TEST_SUITE_P(Table, ValidateService, testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name; });

TEST(Validate, UpdatesKeepNameAndMode) {
  ServiceSpec other = good();
  other.name = "renamed";
  EXPECT_EQ(validate_service_update(good(), other).error().message,
            "renaming services is not supported: web to renamed");
  other = good();
  other.mode.global.emplace();
  EXPECT_THAT(validate_service_update(good(), other).error().message, testing::HasSubstr("mode change is not allowed"));
  other = good();
  other.task_template.container_spec->image = "nginx:2";
  EXPECT_TRUE(validate_service_update(good(), other));
}

TEST(Validate, Networks) {
  Network network{.name = "back.end_1", .driver = "overlay"};
  EXPECT_TRUE(validate_network(network));
  network.ipam.config.push_back({.subnet = "10.1.0.7/24"});
  EXPECT_THAT(validate_network(network).error().message, testing::HasSubstr("10.1.0.0/24"));
  network.ipam.config = {{.subnet = "10.1.0.0/24", .gateway = "nonsense"}};
  EXPECT_FALSE(validate_network(network));
  network.ipam.config = {{.subnet = "10.1.0.0/24", .gateway = "10.1.0.1"}, {.subnet = "fd00::/64"}};
  EXPECT_TRUE(validate_network(network));
  for (const IpamConfig& config :
       {IpamConfig{.subnet = "10.1.0.0/24", .gateway = "10.1.0.254"}, IpamConfig{.gateway = "10.1.0.1"},
        IpamConfig{.subnet = "10.1.0.0/24", .ip_range = "10.1.0.128/25"},
        IpamConfig{.subnet = "10.1.0.0/24", .auxiliary_addresses = {{"router", "10.1.0.9"}}}}) {
    network.ipam.config = {config};
    const Status refused = validate_network(network);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::kUnsupported) << refused.error().message;
  }
  EXPECT_FALSE(validate_network({.name = "-x"}));
  EXPECT_FALSE(validate_network({.name = ""}));
  EXPECT_EQ(validate_network({.name = "x", .driver = "bridge"}).error().kind, ErrorKind::kUnsupported);
  Network encrypted{.name = "x"};
  encrypted.options["encrypted"] = "";
  EXPECT_EQ(validate_network(encrypted).error().kind, ErrorKind::kUnsupported);
}

TEST(Validate, ClusterSpecs) {
  ClusterSpec spec;
  EXPECT_TRUE(validate_cluster_spec(spec));
  spec.dispatcher.heartbeat_period = std::chrono::milliseconds(1);
  EXPECT_FALSE(validate_cluster_spec(spec));
  spec = {};
  spec.ca_config.node_cert_expiry = std::chrono::minutes(59);
  EXPECT_FALSE(validate_cluster_spec(spec));
}

}  // namespace
}  // namespace mesh::model
