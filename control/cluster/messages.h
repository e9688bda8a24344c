// What an agent and a manager say to each other over one WebSocket session (text frames, one JSON object each, tagged
// by "Type"). The manager sends everything in full first, then changes; the agent reports task states and acknowledges
// the table version that its kernel holds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "control/model/direct_probe.h"
#include "control/model/endpoint_table.h"
#include "control/model/node.h"
#include "control/model/task.h"
#include "control/model/trace.h"

namespace mesh::cluster {

// Limits of one session. A frame over the limit ends the session with a counted error.
inline constexpr std::size_t kFrameBytesMax = 16U << 20U;
inline constexpr std::size_t kSendQueueMax = 1024;  // frames; a peer that does not read is cut

// ---- agent -> manager
struct Hello {
  std::string node_id;
  model::NodeDescription description;
  IpAddress address;                    // advertise address: tunnel end point and cluster address
  std::vector<IpAddress> addresses;     // every address of the uplinks
  std::vector<std::string> interfaces;  // names of the uplinks
  std::vector<Cidr> connected_routes;   // prefixes this host reaches by itself; address pools must not overlap them
  model::TableVersion have;             // last table in this host's kernel; {0,0} if none
};
struct TaskStatusReport {
  std::string task_id;
  model::TaskStatus status;
  bool unhealthy = false;  // its health check failed: it is stopped once its endpoint is drained (Mesh.StopAllowed)
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
// Those of the question's ports that this host cannot publish: one sentence each, with the host's name and what uses
// the port.
struct PortAnswer {
  std::uint64_t id = 0;
  std::vector<std::string> refused;
};
// What a hello says of the host's network, when it changed in this session.
struct NetworkReport {
  std::vector<Cidr> connected;
  std::vector<IpAddress> addresses;  // empty: not told
  std::vector<std::string> interfaces;
  bool operator==(const NetworkReport&) const = default;
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

// Could this host publish these ports now? Asked before a service that wants them is accepted; answered by PortAnswer
// with the same id.
struct PortName {
  std::string protocol;  // "tcp", "udp"
  std::uint16_t port = 0;
};
struct PortQuestion {
  std::uint64_t id = 0;
  std::vector<PortName> ports;
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
  std::optional<PortAnswer> port_answer;
  std::optional<model::TraceAnswer> trace_answer;
  std::optional<model::ProbeAnswer> probe_answer;
  std::optional<NetworkReport> routes;
  std::optional<Heartbeat> heartbeat;
  std::optional<Renew> renew;
};
struct ManagerMessage {
  std::optional<Welcome> welcome;
  std::optional<Assignments> assignments;
  std::optional<AssignmentChange> assignment_change;
  std::optional<model::EndpointTables> tables;
  std::optional<model::TableChange> table_change;
  std::optional<PortQuestion> port_question;
  std::optional<model::TraceQuestion> trace_question;
  std::optional<model::ProbeQuestion> probe_question;
  std::optional<Heartbeat> heartbeat;  // echo
  std::optional<Certificate> certificate;
};

template <class Visit>
constexpr bool json_fields(const Hello*, Visit&& visit) {
  return visit("NodeID", &Hello::node_id) && visit("Description", &Hello::description) &&
         visit("Address", &Hello::address) && visit("Addresses", &Hello::addresses) &&
         visit("Interfaces", &Hello::interfaces, kOmitEmpty) &&
         visit("ConnectedRoutes", &Hello::connected_routes, kOmitEmpty) && visit("Have", &Hello::have);
}
template <class Visit>
constexpr bool json_fields(const TaskStatusReport*, Visit&& visit) {
  return visit("TaskID", &TaskStatusReport::task_id) && visit("Status", &TaskStatusReport::status) &&
         visit("Unhealthy", &TaskStatusReport::unhealthy, kOmitEmpty);
}
template <class Visit>
constexpr bool json_fields(const StatusReport*, Visit&& visit) {
  return visit("Tasks", &StatusReport::tasks);
}
template <class Visit>
constexpr bool json_fields(const Acknowledge*, Visit&& visit) {
  return visit("Version", &Acknowledge::version) && visit("Problems", &Acknowledge::problems, kOmitEmpty);
}
template <class Visit>
constexpr bool json_fields(const ForeignReport*, Visit&& visit) {
  return visit("ServiceID", &ForeignReport::service_id) && visit("Protocol", &ForeignReport::protocol) &&
         visit("Port", &ForeignReport::port) && visit("RingVersion", &ForeignReport::ring_version) &&
         visit("Held", &ForeignReport::held);
}
template <class Visit>
constexpr bool json_fields(const PortAnswer*, Visit&& visit) {
  return visit("ID", &PortAnswer::id) && visit("Refused", &PortAnswer::refused, kOmitEmpty);
}
template <class Visit>
constexpr bool json_fields(const NetworkReport*, Visit&& visit) {
  using R = NetworkReport;
  return visit("Connected", &R::connected, kOmitEmpty) && visit("Addresses", &R::addresses, kOmitEmpty) &&
         visit("Interfaces", &R::interfaces, kOmitEmpty);
}
template <class Visit>
constexpr bool json_fields(const PortName*, Visit&& visit) {
  return visit("Protocol", &PortName::protocol) && visit("Port", &PortName::port);
}
template <class Visit>
constexpr bool json_fields(const PortQuestion*, Visit&& visit) {
  return visit("ID", &PortQuestion::id) && visit("Ports", &PortQuestion::ports);
}
template <class Visit>
constexpr bool json_fields(const Heartbeat*, Visit&& visit) {
  return visit("Sequence", &Heartbeat::sequence);
}
template <class Visit>
constexpr bool json_fields(const Assignments*, Visit&& visit) {
  return visit("Tasks", &Assignments::tasks);
}
template <class Visit>
constexpr bool json_fields(const AssignmentChange*, Visit&& visit) {
  return visit("Upsert", &AssignmentChange::upsert) && visit("Removed", &AssignmentChange::removed, kOmitEmpty);
}
template <class Visit>
constexpr bool json_fields(const Welcome*, Visit&& visit) {
  return visit("ClusterID", &Welcome::cluster_id) && visit("NodeNumber", &Welcome::node_number) &&
         visit("HeartbeatPeriod", &Welcome::heartbeat_period) && visit("GatewayV4", &Welcome::gateway_v4) &&
         visit("GatewayV6", &Welcome::gateway_v6);
}
template <class Visit>
constexpr bool json_fields(const Renew*, Visit&& visit) {
  return visit("Request", &Renew::request);
}
template <class Visit>
constexpr bool json_fields(const Certificate*, Visit&& visit) {
  return visit("Certificate", &Certificate::certificate);
}
template <class Visit>
constexpr bool json_fields(const AgentMessage*, Visit&& visit) {
  return visit("Hello", &AgentMessage::hello) && visit("Status", &AgentMessage::status) &&
         visit("Acknowledge", &AgentMessage::acknowledge) && visit("Foreign", &AgentMessage::foreign) &&
         visit("PortAnswer", &AgentMessage::port_answer) && visit("TraceAnswer", &AgentMessage::trace_answer) &&
         visit("ProbeAnswer", &AgentMessage::probe_answer) && visit("Routes", &AgentMessage::routes) &&
         visit("Heartbeat", &AgentMessage::heartbeat) && visit("Renew", &AgentMessage::renew);
}
template <class Visit>
constexpr bool json_fields(const ManagerMessage*, Visit&& visit) {
  return visit("Welcome", &ManagerMessage::welcome) && visit("Assignments", &ManagerMessage::assignments) &&
         visit("AssignmentChange", &ManagerMessage::assignment_change) && visit("Tables", &ManagerMessage::tables) &&
         visit("TableChange", &ManagerMessage::table_change) && visit("PortQuestion", &ManagerMessage::port_question) &&
         visit("TraceQuestion", &ManagerMessage::trace_question) &&
         visit("ProbeQuestion", &ManagerMessage::probe_question) && visit("Heartbeat", &ManagerMessage::heartbeat) &&
         visit("Certificate", &ManagerMessage::certificate);
}

}  // namespace mesh::cluster

MESH_JSON_DECLARE(mesh::cluster::AgentMessage);
MESH_JSON_DECLARE(mesh::cluster::ManagerMessage);
