// GET /mesh/trace?src=ADDR:PORT&dst=ADDR&dport=N&proto=tcp&established=1: walks a made-up packet from host to host.
//     ...?next=1&timeout=30s&node=NAME[&src=ADDR[:PORT]&dst=ADDR&dport=N&proto=tcp]: the next real one that is like
//     this.
// Each host runs its own programs on it (agent/host_walk.h); here it is only decided whom to ask first, and next.
#include "control/api/trace.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/id.h"
#include "base/text.h"

namespace mesh::api {
namespace {

constexpr int kVisitsMax = 40;  // hosts: twice what a packet may visit (MESH_HOPS_MAX), and back
constexpr Duration kNextTimeoutDefault = std::chrono::seconds(30);
constexpr Duration kNextTimeoutMax = std::chrono::minutes(10);

// One walk; kept alive by the question that is under way.
class Walk : public std::enable_shared_from_this<Walk> {
 public:
  Walk(Context& context, model::TraceProbe probe, ResponderPtr responder)
      : context_(context), responder_(std::move(responder)) {
    question_.trace = make_id();
    question_.probe = std::move(probe);
  }
  Walk(Context& context, model::TraceCatch next, ResponderPtr responder)
      : context_(context), responder_(std::move(responder)) {
    question_.trace = make_id();
    question_.next = std::move(next);
  }

  void ask(std::uint16_t number) {
    manager::Manager* manager = context_.swarm.manager();
    if (manager == nullptr) return finish("", "this node is no manager any more");
    const model::EndpointTables& tables = manager->tables();
    const auto node = std::ranges::find(tables.nodes, number, &model::NodeRow::number);
    if (node == tables.nodes.end()) return finish("", fmt::format("node number {} is no longer there", number));
    if (!context_.swarm.acknowledged().contains(node->id)) {
      return finish("", node->hostname + " has no session with this manager and cannot be asked");
    }
    if (++visits_ > kVisitsMax) return finish("", "the packet goes round and round");
    context_.swarm.ask_trace(
        node->id, question_, [responder = responder_] { return !responder->closed(); },
        [self = shared_from_this(), host = node->hostname](const auto& answer) { self->take(host, answer); });
  }

 private:
  void take(const std::string& host, const Result<model::TraceAnswer>& answer) {
    if (!answer) return finish("", fmt::format("{}: {}", host, answer.error().message));
    if (std::exchange(question_.next, std::nullopt)) question_.real = true;
    for (const model::TraceStep& step : answer->steps) {
      steps_.push_back(
          JsonObject{{"Node", host}, {"Where", step.where}, {"Packet", step.packet}, {"Lines", encode(step.lines)}});
    }
    if (answer->next == 0) return finish(answer->end, "");
    question_.packet = answer->packet;
    question_.answer = answer->answer;
    ask(answer->next);
  }

  void finish(const std::string& end, const std::string& broken) {
    // It never began.
    if (question_.next) return responder_->send(error_response({ErrorKind::kUnavailable, broken}));
    responder_->send(json_response(JsonObject{{"Steps", std::move(steps_)}, {"End", end}, {"Error", broken}}));
  }

  Context& context_;
  ResponderPtr responder_;
  model::TraceQuestion question_;
  JsonArray steps_;
  int visits_ = 0;
};

Result<model::TraceProbe> probe_of(const Request& request) {
  const SocketAddress source = TRY_IN("src", SocketAddress::parse(request.parameter("src")));
  const IpAddress destination = TRY_IN("dst", IpAddress::parse(request.parameter("dst")));
  const auto port = parse_number<std::uint16_t>(request.parameter("dport"));
  if (!port || *port == 0) {
    return fail(ErrorKind::kInvalid, fmt::format("dport: \"{}\" is no port", request.parameter("dport")));
  }
  const std::string protocol = request.parameter("proto").empty() ? "tcp" : request.parameter("proto");
  if (protocol != "tcp" && protocol != "udp") {
    return fail(ErrorKind::kInvalid, fmt::format("proto: \"{}\" is not tcp or udp", protocol));
  }
  if (source.ip.is_v4() != destination.is_v4()) {
    return fail(ErrorKind::kInvalid, "src and dst: one is IPv4, the other IPv6");
  }
  return model::TraceProbe{source.to_string(), SocketAddress{destination, *port}.to_string(), protocol,
                           request.flag("established")};
}

// "ADDRESS" or "ADDRESS:PORT"; nothing where any is wanted.
Result<IpAddress> address_of(const std::string& text) {
  if (text.empty()) return IpAddress();
  if (const auto ip = IpAddress::parse(text)) return *ip;
  return TRY(SocketAddress::parse(text)).ip;
}

Result<model::TraceCatch> catch_of(const Request& request) {
  model::TraceCatch next{.source = request.parameter("src"),
                         .destination = request.parameter("dst"),
                         .protocol = request.parameter("proto"),
                         .in_tunnel = !request.parameter("node").empty(),
                         .timeout = kNextTimeoutDefault};
  const IpAddress source = TRY_IN("src", address_of(next.source));
  const IpAddress destination = TRY_IN("dst", address_of(next.destination));
  if (!source.is_unset() && !destination.is_unset() && source.is_v4() != destination.is_v4()) {
    return fail(ErrorKind::kInvalid, "src and dst: one is IPv4, the other IPv6");
  }
  if (const std::string port = request.parameter("dport"); !port.empty()) {
    const auto number = parse_number<std::uint16_t>(port);
    if (!number || *number == 0) return fail(ErrorKind::kInvalid, fmt::format("dport: \"{}\" is no port", port));
    next.port = *number;
  }
  if (!next.protocol.empty() && next.protocol != "tcp" && next.protocol != "udp") {
    return fail(ErrorKind::kInvalid, fmt::format("proto: \"{}\" is not tcp or udp", next.protocol));
  }
  if (!request.parameter("timeout").empty())
    next.timeout = TRY_IN("timeout", parse_duration(request.parameter("timeout")));
  if (next.timeout <= Duration::zero() || next.timeout > kNextTimeoutMax) {
    return fail(ErrorKind::kInvalid, "timeout: between 1s and 10m");
  }
  return next;
}

bool has(const model::EndpointRow& row, const IpAddress& address) {
  if (address.is_unset()) return false;
  if (row.ingress_v4 == address || row.ingress_v6 == address) return true;
  return std::ranges::any_of(row.networks, [&](const auto& one) { return one.v4 == address || one.v6 == address; });
}

}  // namespace

Result<std::uint16_t> trace_entry(const model::EndpointTables& tables, const IpAddress& source,
                                  const IpAddress& destination) {
  for (const model::EndpointRow& row : tables.endpoints) {
    if (has(row, source)) return row.node;
  }
  for (const model::NodeRow& row : tables.nodes) {
    if (row.address == destination || std::ranges::find(row.addresses, destination) != row.addresses.end()) {
      return row.number;
    }
  }
  for (const model::ServiceRow& service : tables.services) {
    for (const model::NetworkAddress& vip : service.virtual_ips) {
      if (destination != vip.v4 && destination != vip.v6) continue;
      return fail(ErrorKind::kInvalid,
                  fmt::format("{} is the virtual IP of service {}: it becomes a task's address when a socket connects, "
                              "before there is a packet; trace to a task's address instead",
                              destination.to_string(), service.name));
    }
  }
  return fail(ErrorKind::kInvalid,
              fmt::format("{} is no address of a node, and {} none of a task: such a packet meets no program of the "
                          "mesh; 'meshctl node ls' and 'meshctl service ps' show what there is",
                          destination.to_string(), source.to_string()));
}

namespace {

// Where such packets come in: the node that is named, the one that is asked for, the task's own, or this one.
Result<std::uint16_t> catch_node(Context& context, const manager::Manager& manager, const Request& request) {
  const model::EndpointTables& tables = manager.tables();
  const std::string name = request.parameter("node");
  if (name.empty()) {
    const IpAddress source = TRY(address_of(request.parameter("src")));
    const IpAddress destination = TRY(address_of(request.parameter("dst")));
    if (!source.is_unset() || !destination.is_unset()) {
      if (const auto entry = trace_entry(tables, source, destination); entry || !destination.is_unset()) return entry;
    }
  }
  const std::string id = name.empty() ? context.swarm.info().node_id : TRY(manager.view().find_node(name))->id;
  const auto row = std::ranges::find(tables.nodes, id, &model::NodeRow::id);
  if (row != tables.nodes.end()) return row->number;
  return fail(ErrorKind::kNotFound, fmt::format("node {} has no number (yet): it has not joined completely", name));
}

void trace_next(Context& context, const manager::Manager& manager, const Request& request,
                const ResponderPtr& responder) {
  const Result<model::TraceCatch> next = catch_of(request);
  if (!next) return responder->send(error_response(next.error()));
  const Result<std::uint16_t> node = catch_node(context, manager, request);
  if (!node) return responder->send(error_response(node.error()));
  std::make_shared<Walk>(context, *next, responder)->ask(*node);
}

}  // namespace

void trace(Context& context, const Request& request, const ResponderPtr& responder) {
  const Result<manager::Manager*> manager = require_manager(context);
  if (!manager) return responder->send(error_response(manager.error()));
  if (request.flag("next")) return trace_next(context, **manager, request, responder);
  const Result<model::TraceProbe> probe = probe_of(request);
  if (!probe) return responder->send(error_response(probe.error()));
  const IpAddress source = SocketAddress::parse(probe->source)->ip;
  const IpAddress destination = SocketAddress::parse(probe->destination)->ip;
  const Result<std::uint16_t> entry = trace_entry((*manager)->tables(), source, destination);
  if (!entry) return responder->send(error_response(entry.error()));
  std::make_shared<Walk>(context, *probe, responder)->ask(*entry);
}

}  // namespace mesh::api
