// What an agent and a manager say to each other over one WebSocket session (text frames, one JSON object each, tagged
// by "Type"). The manager sends everything in full first, then changes; the agent reports task states and acknowledges
// the table version that its kernel holds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "control/model/endpoint_table.h"
#include "control/model/node.h"
#include "control/model/task.h"

namespace mesh::cluster {

// Limits of one session. A frame over the limit ends the session with a counted error.
inline constexpr std::size_t kFrameBytesMax = 16U << 20U;
inline constexpr std::size_t kSendQueueMax = 1024;  // frames; a peer that does not read is cut

// ---- agent -> manager
struct Hello {
  std::string node_id;
  model::NodeDescription description;
  IpAddress address;                   // advertise address: tunnel end point and cluster address
  std::vector<IpAddress> addresses;    // every address of the uplinks
  std::vector<Cidr> connected_routes;  // prefixes this host reaches by itself; address pools must not overlap them
  model::TableVersion have;            // last table in this host's kernel; {0,0} if none
};
struct TaskStatusReport {
  std::string task_id;
  model::TaskStatus status;
};
struct StatusReport {
  std::vector<TaskStatusReport> tasks;
};
// The kernel of this host holds this table version. `problems` names what could not be programmed (a port in use by
// another program of the host, say); the version counts as acknowledged all the same.
struct Acknowledge {
  model::TableVersion version;
  std::vector<std::string> problems;
};
// Slots where this host holds records of flows that are not the owner's, per published port: "tcp/8010" -> slots.
struct ForeignReport {
  std::string service_id;
  std::string protocol;
  std::uint16_t port = 0;
  std::uint32_t ring_version = 0;
  std::vector<std::uint16_t> held;
};
struct Heartbeat {
  std::uint64_t sequence = 0;
};

// A request (PEM) for a new certificate for the same node, with a new key. Sent and answered by the session itself.
struct Renew {
  std::string request;
};

// ---- manager -> agent
// Tasks of this node with everything needed to run them. Desired state ready or running: prepare or run; shutdown:
// stop; absent: remove what is left of it.
struct Assignments {
  std::vector<model::Task> tasks;
};
struct AssignmentChange {
  std::vector<model::Task> upsert;
  std::vector<std::string> removed;
};
struct Welcome {
  std::string cluster_id;
  std::uint16_t node_number = 0;
  Duration heartbeat_period{};
  IpAddress gateway_v4, gateway_v6;  // of the ingress network; +1 is the mesh address
};

// The answer to Renew: the node's new certificate, PEM.
struct Certificate {
  std::string certificate;
};

// One frame: exactly one member is set.
struct AgentMessage {
  std::optional<Hello> hello;
  std::optional<StatusReport> status;
  std::optional<Acknowledge> acknowledge;
  std::optional<std::vector<ForeignReport>> foreign;
  std::optional<Heartbeat> heartbeat;
  std::optional<Renew> renew;
};
struct ManagerMessage {
  std::optional<Welcome> welcome;
  std::optional<Assignments> assignments;
  std::optional<AssignmentChange> assignment_change;
  std::optional<model::EndpointTables> tables;
  std::optional<model::TableChange> table_change;
  std::optional<Heartbeat> heartbeat;  // echo
  std::optional<Certificate> certificate;
};

constexpr auto json_fields(const Hello*) {
  return std::tuple{field("NodeID", &Hello::node_id),
                    field("Description", &Hello::description),
                    field("Address", &Hello::address),
                    field("Addresses", &Hello::addresses),
                    field("ConnectedRoutes", &Hello::connected_routes, kOmitEmpty),
                    field("Have", &Hello::have)};
}
constexpr auto json_fields(const TaskStatusReport*) {
  return std::tuple{field("TaskID", &TaskStatusReport::task_id), field("Status", &TaskStatusReport::status)};
}
constexpr auto json_fields(const StatusReport*) { return std::tuple{field("Tasks", &StatusReport::tasks)}; }
constexpr auto json_fields(const Acknowledge*) {
  return std::tuple{field("Version", &Acknowledge::version), field("Problems", &Acknowledge::problems, kOmitEmpty)};
}
constexpr auto json_fields(const ForeignReport*) {
  return std::tuple{field("ServiceID", &ForeignReport::service_id), field("Protocol", &ForeignReport::protocol),
                    field("Port", &ForeignReport::port), field("RingVersion", &ForeignReport::ring_version),
                    field("Held", &ForeignReport::held)};
}
constexpr auto json_fields(const Heartbeat*) { return std::tuple{field("Sequence", &Heartbeat::sequence)}; }
constexpr auto json_fields(const Assignments*) { return std::tuple{field("Tasks", &Assignments::tasks)}; }
constexpr auto json_fields(const AssignmentChange*) {
  return std::tuple{field("Upsert", &AssignmentChange::upsert),
                    field("Removed", &AssignmentChange::removed, kOmitEmpty)};
}
constexpr auto json_fields(const Welcome*) {
  return std::tuple{field("ClusterID", &Welcome::cluster_id), field("NodeNumber", &Welcome::node_number),
                    field("HeartbeatPeriod", &Welcome::heartbeat_period), field("GatewayV4", &Welcome::gateway_v4),
                    field("GatewayV6", &Welcome::gateway_v6)};
}
constexpr auto json_fields(const Renew*) { return std::tuple{field("Request", &Renew::request)}; }
constexpr auto json_fields(const Certificate*) { return std::tuple{field("Certificate", &Certificate::certificate)}; }
constexpr auto json_fields(const AgentMessage*) {
  return std::tuple{field("Hello", &AgentMessage::hello),
                    field("Status", &AgentMessage::status),
                    field("Acknowledge", &AgentMessage::acknowledge),
                    field("Foreign", &AgentMessage::foreign),
                    field("Heartbeat", &AgentMessage::heartbeat),
                    field("Renew", &AgentMessage::renew)};
}
constexpr auto json_fields(const ManagerMessage*) {
  return std::tuple{field("Welcome", &ManagerMessage::welcome),
                    field("Assignments", &ManagerMessage::assignments),
                    field("AssignmentChange", &ManagerMessage::assignment_change),
                    field("Tables", &ManagerMessage::tables),
                    field("TableChange", &ManagerMessage::table_change),
                    field("Heartbeat", &ManagerMessage::heartbeat),
                    field("Certificate", &ManagerMessage::certificate)};
}

}  // namespace mesh::cluster
