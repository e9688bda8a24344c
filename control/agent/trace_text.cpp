#include "control/agent/trace_text.h"

#include <algorithm>

#include <fmt/format.h>

namespace mesh::agent {
namespace {

using dataplane::TracedFrame;
using dataplane::TracedPacket;
using dataplane::TracedTunnel;
using dataplane::TraceRun;

std::string protocol_text(std::uint8_t protocol) {
  switch (protocol) {
    case 1:
    case 58:
      return "icmp";
    case 6:
      return "tcp";
    case 17:
      return "udp";
    default:
      return fmt::format("protocol {}", protocol);
  }
}

std::string flags_text(const TracedPacket& packet) {
  if (packet.protocol != 6) return "";
  std::string text;
  for (const auto& [bit, name] : {std::pair{dataplane::kTcpSyn, " SYN"}, std::pair{dataplane::kTcpFin, " FIN"},
                                  std::pair{dataplane::kTcpRst, " RST"}, std::pair{dataplane::kTcpAck, " ACK"}}) {
    if ((packet.tcp_flags & bit) != 0) text += name;
  }
  return text;
}

bool happened(const TraceRun& run, std::string_view event) {
  return std::ranges::find(run.events, event) != run.events.end();
}

std::string slot_line(const TraceNames& names, const TracedPacket& packet, const dataplane::TracedSlot& slot) {
  const std::string where =
      fmt::format("{}: ring version {}, slot {} of {}", names.port(packet), slot.version, slot.slot, slot.slots);
  if (slot.node == 0) return where + " has no owner: no backend is ready";
  return fmt::format("{} belongs to {}{}", where, names.backend(slot.node, slot.binding),
                     slot.moved ? "; moved: other hosts may know its flows" : "; not moved");
}

std::string flow_line(const TraceNames& names, const TraceRun& run) {
  if (!run.flow) {
    if (happened(run, "flow_created")) return "flow: no record here; one is made";
    if (happened(run, "flow_reopened")) return "flow: no record here; it is made again from a packet in mid-flow";
    if (run.endpoint_ifindex != 0) {
      return "flow: not looked up, there is no record: the entry's ring is this host's too and the slot is not moved, "
             "so "
             "the owner is right (one packet of 16 makes the record again)";
    }
    return "flow: no record here";
  }
  const dataplane::FlowRecord& flow = *run.flow;
  return fmt::format("flow: record found, {}, idle {} s: {} at {}, client {} entered by {}", flow.state,
                     flow.idle_seconds, flow.task_id.empty() ? "a task" : "task " + names.task(flow.task_id),
                     flow.backend.to_string(), flow.client.to_string(), names.node(flow.entry));
}

std::string tunnel_line(const TraceNames& names, const TracedTunnel& tunnel) {
  std::string text = fmt::format("=> encapsulated to {}: {}", names.node_at(tunnel.to), tunnel.kind);
  if (tunnel.kind != "client's packet") {
    return text + fmt::format(", network identifier {}", tunnel.vni);
  }
  text += fmt::format(" for {}, entry {}, stage {}, hop {}", names.backend(tunnel.stop, tunnel.binding),
                      names.node(tunnel.entry), tunnel.stage, tunnel.hops);
  if (tunnel.prev != 0) text += ", previous owner on " + names.node(tunnel.prev);
  if (tunnel.moved) text += ", moved slot";
  if (tunnel.mixed) text += ", hosts at different ring versions";
  return text;
}

std::string redirect_line(const TraceNames& names, const TraceRun& run) {
  const TracedFrame after = dataplane::read_frame(run.frame);
  if (after.tunnel) return tunnel_line(names, *after.tunnel);
  if (!after.packet) return "=> answered on the spot";
  const std::string seen = packet_text(*after.packet);
  if (run.endpoint_ifindex == 0)
    return fmt::format("=> sent on to {} as {}", after.packet->destination.ip.to_string(), seen);
  const model::EndpointRow* endpoint = names.endpoint(after.packet->destination.ip);
  return fmt::format("=> delivered to {} as {}", endpoint != nullptr ? "task " + endpoint->name : "an endpoint", seen);
}

}  // namespace

std::string TraceNames::node(std::uint16_t number) const {
  const auto row = std::ranges::find(tables_.nodes, number, &model::NodeRow::number);
  if (row == tables_.nodes.end()) return fmt::format("node number {}", number);
  return number == self_ ? row->hostname + " (this host)" : row->hostname;
}

std::string TraceNames::node_at(const IpAddress& address) const {
  const std::uint16_t number = number_at(address);
  return number == 0 ? address.to_string() : fmt::format("{} ({})", node(number), address.to_string());
}

std::uint16_t TraceNames::number_at(const IpAddress& tunnel_address) const {
  const auto row = std::ranges::find(tables_.nodes, tunnel_address, &model::NodeRow::address);
  return row == tables_.nodes.end() ? 0 : row->number;
}

std::string TraceNames::task(const std::string& id) const {
  const auto row = std::ranges::find(tables_.endpoints, id, &model::EndpointRow::task_id);
  return row == tables_.endpoints.end() ? id : row->name;
}

std::string TraceNames::backend(std::uint16_t number, std::uint16_t binding) const {
  for (const model::ServiceRow& service : tables_.services) {
    for (const model::PortRow& port : service.ports) {
      for (const model::BackendRow& backend : port.backends) {
        if (backend.node != number || backend.binding != binding) continue;
        return fmt::format("task {} on {}", task(backend.task_id), node(number));
      }
    }
  }
  return fmt::format("binding {} on {}", binding, node(number));
}

std::string TraceNames::port(const TracedPacket& packet) const {
  const std::string protocol = protocol_text(packet.protocol);
  for (const model::ServiceRow& service : tables_.services) {
    for (const model::PortRow& port : service.ports) {
      if (port.published != packet.destination.port || port.protocol != protocol) continue;
      return fmt::format("service {}, port {}/{}", service.name, port.published, protocol);
    }
  }
  return fmt::format("port {}/{}", packet.destination.port, protocol);
}

const model::EndpointRow* TraceNames::endpoint(const IpAddress& address) const {
  if (address.is_unset()) return nullptr;
  for (const model::EndpointRow& row : tables_.endpoints) {
    if (row.ingress_v4 == address || row.ingress_v6 == address) return &row;
    const auto is_its = [&](const model::NetworkAddress& one) { return one.v4 == address || one.v6 == address; };
    if (std::ranges::any_of(row.networks, is_its)) return &row;
  }
  return nullptr;
}

std::string packet_text(const TracedPacket& packet) {
  if (packet.protocol != 6 && packet.protocol != 17) {
    return fmt::format("{} {} -> {}", protocol_text(packet.protocol), packet.source.ip.to_string(),
                       packet.destination.ip.to_string());
  }
  return fmt::format("{} {} -> {}{}", protocol_text(packet.protocol), packet.source.to_string(),
                     packet.destination.to_string(), flags_text(packet));
}

std::string frame_text(const TraceNames& names, const TracedFrame& frame) {
  std::string packet = frame.packet ? packet_text(*frame.packet) : std::string("no IP packet");
  if (!frame.tunnel) return packet;
  return fmt::format("{}, in VXLAN from {}", packet, names.node_at(frame.tunnel->from));
}

std::vector<std::string> run_text(const TraceNames& names, const TracedFrame& before, const TraceRun& run) {
  std::vector<std::string> lines;
  const bool overlay = before.tunnel && before.tunnel->kind == "packet of a network";
  const bool answer = before.tunnel && before.tunnel->kind == "answer";
  // The slot and the flow are of interest where they decide: for a client's packet, and for a container's answer.
  if (before.packet && run.slot && !answer && !overlay) lines.push_back(slot_line(names, *before.packet, *run.slot));
  const bool looks = run.flow || (before.tunnel && !answer && !overlay) || happened(run, "flow_created") ||
                     happened(run, "flow_reopened");
  if (looks) lines.push_back(flow_line(names, run));
  if (happened(run, "flow_rewritten")) lines.push_back("the client's port is taken there: the task sees another");
  if (!run.events.empty()) lines.push_back(fmt::format("would count {}", fmt::join(run.events, ", ")));
  for (const std::string& drop : run.drops) lines.push_back("drop reason " + drop);
  switch (run.verdict) {
    case TraceRun::Verdict::kDrop:
      lines.emplace_back("=> dropped");
      break;
    case TraceRun::Verdict::kPass:
      lines.emplace_back("=> passed to this host's stack: not decided here");
      break;
    case TraceRun::Verdict::kRedirect:
      lines.push_back(redirect_line(names, run));
      break;
  }
  return lines;
}

}  // namespace mesh::agent
