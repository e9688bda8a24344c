// The model against JSON as the docker command line sends it (client 28.2, API 1.41): nothing is lost on the way
// through.
#include <gtest/gtest.h>

#include "control/model/cluster.h"
#include "control/model/network.h"
#include "control/model/node.h"
#include "control/model/port_state.h"
#include "control/model/service.h"
#include "control/model/task.h"

namespace mesh::model {
namespace {

// docker service create with nearly every flag it has.
constexpr const char* kFullService = R"json(
{"Name":"web","Labels":{"a":"b"},"TaskTemplate":{"ContainerSpec":{"Image":"nginx:1.27","Labels":{"c":"d"},
"Args":["sh","-c","sleep 1"],"Hostname":"{{.Task.Slot}}","Env":["A=1","B=two"],"Dir":"/w","User":"1000:1000",
"Groups":["10"],"Init":true,"StopSignal":"SIGINT","TTY":true,"ReadOnly":true,"Mounts":[{"Type":"bind",
"Source":"/a","Target":"/b","ReadOnly":true},{"Type":"volume","Source":"v","Target":"/v",
"VolumeOptions":{"DriverConfig":{"Options":{"o":"1"}}}},{"Type":"tmpfs","Target":"/t",
"TmpfsOptions":{"SizeBytes":1048576}}],"StopGracePeriod":20000000000,"Healthcheck":{"Test":["CMD-SHELL",
"curl -f localhost"],"Interval":2000000000,"Retries":2},"Hosts":["10.0.0.9 db"],
"DNSConfig":{"Nameservers":["1.1.1.1"],"Search":["x.y"],"Options":["ndots:0"]},
"Sysctls":{"net.core.somaxconn":"10"},"CapabilityAdd":["CAP_NET_ADMIN"],"CapabilityDrop":["CAP_CHOWN"],
"Ulimits":[{"Name":"nofile","Hard":200,"Soft":100}]},"Resources":{"Limits":{"NanoCPUs":500000000,
"MemoryBytes":67108864,"Pids":50},"Reservations":{"NanoCPUs":100000000,"MemoryBytes":8388608}},
"RestartPolicy":{"Condition":"on-failure","Delay":2000000000,"MaxAttempts":3,"Window":60000000000},
"Placement":{"Constraints":["node.labels.disk==ssd"],
"Preferences":[{"Spread":{"SpreadDescriptor":"node.labels.zone"}}],"MaxReplicas":2},
"Networks":[{"Target":"net1","Aliases":["www"]}],"LogDriver":{"Name":"json-file","Options":{"max-size":"1m"}},
"ForceUpdate":0},"Mode":{"Replicated":{"Replicas":3}},"UpdateConfig":{"Parallelism":2,"Delay":3000000000,
"FailureAction":"rollback","Monitor":7000000000,"MaxFailureRatio":0.1,"Order":"start-first"},
"RollbackConfig":{"Parallelism":1,"FailureAction":"pause","Monitor":5000000000,"MaxFailureRatio":0,
"Order":"stop-first"},"EndpointSpec":{"Mode":"vip","Ports":[{"Protocol":"tcp","TargetPort":80,
"PublishedPort":8010,"PublishMode":"ingress"},{"Protocol":"udp","TargetPort":53,"PublishMode":"ingress"},
{"Protocol":"tcp","TargetPort":9000,"PublishedPort":9000,"PublishMode":"host"}]}}
)json";

// docker service create -d --no-resolve-image --name g --mode global alpine
constexpr const char* kGlobalService = R"json(
{"Name":"g","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"alpine:latest","Init":false,"DNSConfig":{}},
"Resources":{"Limits":{},"Reservations":{}},"Placement":{},"ForceUpdate":0},"Mode":{"Global":{}},
"EndpointSpec":{"Mode":"vip"}}
)json";

// docker network create -d overlay --subnet … --gateway … --internal --label k=v --opt … n1
constexpr const char* kNetworkCreate = R"json(
{"Driver":"overlay","Scope":"","IPAM":{"Driver":"default","Options":{},"Config":[{"Subnet":"10.5.0.0/24",
"Gateway":"10.5.0.1"}]},"Internal":true,"Attachable":false,"Ingress":false,"ConfigOnly":false,
"ConfigFrom":null,"Options":{"encrypted":""},"Labels":{"k":"v"},"Name":"n1","CheckDuplicate":true}
)json";

// Numbers compare by value: 0 and 0.0 are the same JSON number.
Json normal(const Json& value) {
  if (value.is_number()) return Json(value.to_number<double>());
  if (const JsonArray* array = value.if_array()) {
    JsonArray result;
    for (const Json& item : *array) result.push_back(normal(item));
    return result;
  }
  if (const JsonObject* object = value.if_object()) {
    JsonObject result;
    for (const auto& [key, item] : *object) result.emplace(key, normal(item));
    return result;
  }
  return value;
}

template <class T>
void expect_round_trip(const char* text) {
  const auto json = parse_json(text);
  ASSERT_TRUE(json);
  const auto value = decode<T>(*json);
  ASSERT_TRUE(value) << value.error().message;
  EXPECT_EQ(to_text(normal(encode(*value))), to_text(normal(*json)));
}

template <class T>
void expect_same_after_store(const T& value) {
  const auto again = decode_text<T>(to_text(encode(value)));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, value);
}

TEST(ModelJson, ServiceSpecOfTheCommandLineRoundTrips) {
  expect_round_trip<ServiceSpec>(kFullService);
  expect_round_trip<ServiceSpec>(kGlobalService);
}

TEST(ModelJson, ServiceSpecIsUnderstood) {
  const auto spec = decode_text<ServiceSpec>(kFullService);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(replicas_of(*spec), 3U);
  EXPECT_EQ(spec->task_template.container_spec->image, "nginx:1.27");
  EXPECT_EQ(spec->task_template.container_spec->stop_grace_period, std::chrono::seconds(20));
  EXPECT_EQ(spec->task_template.resources->limits->nano_cpus, 500'000'000);
  EXPECT_EQ(spec->task_template.placement->max_replicas, 2U);
  EXPECT_EQ(spec->update_config->order, UpdateOrder::kStartFirst);
  ASSERT_EQ(spec->endpoint_spec->ports.size(), 3U);
  EXPECT_EQ(spec->endpoint_spec->ports[0].published_port, 8010);
  EXPECT_EQ(protocol_of(spec->endpoint_spec->ports[1]), PortProtocol::kUdp);
  EXPECT_FALSE(is_ingress(spec->endpoint_spec->ports[2]));
}

TEST(ModelJson, NetworkOfTheCommandLineIsUnderstood) {
  const auto network = decode_text<Network>(kNetworkCreate);
  ASSERT_TRUE(network) << network.error().message;
  EXPECT_EQ(network->name, "n1");
  EXPECT_TRUE(network->internal);
  ASSERT_EQ(network->ipam.config.size(), 1U);
  EXPECT_EQ(network->ipam.config[0].subnet, "10.5.0.0/24");
  EXPECT_EQ(network->labels.at("k"), "v");
  expect_same_after_store(*network);
}

TEST(ModelJson, EmptyEnumsAreUnset) {
  const auto config = decode_text<UpdateConfig>(R"({"Parallelism":1,"MaxFailureRatio":0,"Order":""})");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->order, UpdateOrder::kUnset);
  EXPECT_FALSE(decode_text<UpdateConfig>(R"({"Order":"sideways"})"));
}

TEST(ModelJson, ErrorsNameTheValue) {
  const auto spec = decode_text<ServiceSpec>(R"({"EndpointSpec":{"Ports":[{"TargetPort":"eighty"}]}})");
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().kind, ErrorKind::kInvalid);
  EXPECT_NE(spec.error().message.find("EndpointSpec.Ports[0].TargetPort"), std::string::npos) << spec.error().message;
  EXPECT_FALSE(decode_text<ServiceSpec>(R"({"EndpointSpec":{"Ports":[{"TargetPort":70000}]}})"));
}

TEST(ModelJson, ObjectsSurviveTheStore) {
  Service service;
  service.id = "s1";
  service.created_at = Time(std::chrono::seconds(1'700'000'000));
  service.spec = decode_text<ServiceSpec>(kFullService).value();
  service.previous_spec = decode_text<ServiceSpec>(kGlobalService).value();
  service.endpoint.virtual_ips.push_back({"n1", "10.1.0.3/24"});
  service.update_status = UpdateStatus{UpdateState::kRollbackStarted, service.created_at, std::nullopt, "why"};
  service.mesh = ServiceMesh{3, 2};
  expect_same_after_store(service);

  Task task;
  task.id = "t1";
  task.spec = service.spec.task_template;
  task.status.state = TaskState::kOrphaned;
  task.status.container_status = ContainerStatus{"c", 7, 137};
  task.mesh.ingress_v4 = IpAddress::v4(0x0a000005);
  task.mesh.networks.push_back({"n1", IpAddress::v4(0x0a010005), {}, {"alias"}});
  task.mesh.bindings.push_back({PortProtocol::kUdp, 53, 5353, 9});
  task.mesh.endpoint = EndpointState::kDraining;
  task.mesh.by_update = task.mesh.stop_allowed = true;
  task.mesh.ended_at = task.mesh.running_since = task.mesh.start_not_before = service.created_at;
  task.mesh.replaces = "t0";
  task.mesh.attempt = 4;
  expect_same_after_store(task);

  Node node;
  node.id = "n1";
  node.spec.availability = Availability::kDrain;
  node.status.state = NodeState::kDown;
  node.manager_status.emplace().reachability = Reachability::kReachable;
  node.mesh.emplace().connected_routes.push_back(Cidr::parse("192.168.0.0/16").value());
  node.mesh->certificate.serial = "0a";
  expect_same_after_store(node);

  Cluster cluster;
  cluster.id = "c1";
  cluster.spec.dispatcher.heartbeat_period = std::chrono::seconds(2);
  cluster.default_addr_pool = {"10.0.0.0/8"};
  cluster.mesh.emplace().ca_key_sealed = {1, 2, 3};
  cluster.mesh->revoked_nodes = {"n9"};
  expect_same_after_store(cluster);

  PortState port;
  port.id = "s1/tcp/80";
  port.row = {"tcp", 80, 8080, 5, {0, 1, 0x7f}, {{1, 0x7f, {2, 3}}}, {{"t1", 1, 2, EndpointState::kGone}}};
  expect_same_after_store(port);
}

TEST(ModelJson, DefaultsAreFilledIn) {
  const ServiceSpec spec =
      with_defaults(decode_text<ServiceSpec>(R"({"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"x"}}})").value());
  EXPECT_EQ(spec.mode.replicated->replicas, 1U);
  EXPECT_EQ(spec.task_template.restart_policy->condition, RestartCondition::kAny);
  EXPECT_EQ(spec.task_template.restart_policy->delay, std::chrono::seconds(5));
  EXPECT_EQ(spec.update_config->failure_action, FailureAction::kPause);
  EXPECT_EQ(spec.update_config->monitor, std::chrono::seconds(5));
  EXPECT_EQ(spec.rollback_config->order, UpdateOrder::kStopFirst);
  EXPECT_EQ(spec.endpoint_spec->mode, ResolutionMode::kVip);
  EXPECT_EQ(with_defaults(spec), spec);
}

}  // namespace
}  // namespace mesh::model
