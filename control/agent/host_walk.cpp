#include "control/agent/host_walk.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/bytes.h"
#include "control/agent/trace_text.h"

namespace mesh::agent {
namespace {

// Uplink, container, its answer, and the two programs of an uplink in xdp mode: no packet needs more on one host.
constexpr int kRunsMax = 8;

Result<dataplane::TracedPacket> packet_of(const model::TraceProbe& probe) {
  dataplane::TracedPacket packet;
  packet.source = TRY_IN("source", SocketAddress::parse(probe.source));
  packet.destination = TRY_IN("destination", SocketAddress::parse(probe.destination));
  packet.protocol = probe.protocol == "udp" ? 17 : 6;
  if (packet.protocol == 6) packet.tcp_flags = probe.established ? dataplane::kTcpAck : dataplane::kTcpSyn;
  return packet;
}

// What the tables say of a packet that has been through is not all of what it met itself.
constexpr const char* kBeenHere =
    "(the packet itself has been here before these tables were looked at: the record may be its own)";

// "ADDRESS" or "ADDRESS:PORT", "": any.
Result<SocketAddress> parse_end(std::string_view text) {
  if (text.empty()) return SocketAddress();
  if (const auto ip = IpAddress::parse(text)) return SocketAddress{*ip, 0};
  return SocketAddress::parse(text);
}

std::string caught_line(const dataplane::CaughtPacket& caught) {
  std::string line = fmt::format("caught: a real packet of {} bytes", caught.length);
  if (caught.segments > 1) line += fmt::format(", the first of {} that came as one", caught.segments);
  return line;
}

// Whether a container has the connection that a packet belongs to, as far as one can tell from outside: a published
// port's has a record. Of the others nothing is known.
bool knows_flow(const dataplane::TraceRun& run, const dataplane::TracedPacket& packet) {
  const bool begins = packet.protocol != 6 || (packet.tcp_flags & dataplane::kTcpSyn) != 0;
  return begins || !run.slot || run.flow.has_value();
}

class HostWalk {
 public:
  HostWalk(dataplane::Dataplane& dataplane, const std::vector<dataplane::Uplink>& uplinks,
           const model::EndpointTables& tables, std::uint16_t self, const model::TraceQuestion& question)
      : dataplane_(dataplane), uplinks_(uplinks), names_(tables, self) {
    order_.trace = question.trace;
    answer_.id = question.id;
    answer_.answer = question.answer;
    been_here_ = question.real;
  }

  void begin_caught(const dataplane::CaughtPacket& caught) {
    order_.frame = caught.frame;
    order_.met = caught.met;
    caught_line_ = caught_line(caught);
    if (caught.program != "mesh_endpoint_tc") {
      const auto uplink = std::ranges::find(uplinks_, caught.ifindex, &dataplane::Uplink::ifindex);
      return at_uplink(uplink == uplinks_.end() ? uplinks_.front() : *uplink);
    }
    const dataplane::TracedFrame frame = dataplane::read_frame(caught.frame);
    const model::EndpointRow* endpoint = frame.packet ? names_.endpoint(frame.packet->source.ip) : nullptr;
    order_.ifindex = caught.ifindex;
    at_container(endpoint != nullptr ? endpoint->name : "of an address that it does not have");
  }

  Status begin(const model::TraceQuestion& question) {
    if (!question.packet.empty()) {
      order_.frame = TRY_IN("packet", base64_decode(question.packet));
      const dataplane::TracedFrame frame = dataplane::read_frame(order_.frame);
      at_uplink(uplink_with(frame.tunnel ? frame.tunnel->to : IpAddress{}));
      return {};
    }
    const dataplane::TracedPacket packet = TRY(packet_of(question.probe));
    const dataplane::Uplink& uplink = uplink_with(packet.destination.ip);
    const model::EndpointRow* endpoint = names_.endpoint(packet.source.ip);
    if (endpoint == nullptr) {
      // From outside: the frame's own addresses matter to none of the programs.
      order_.frame = dataplane::make_frame(packet, {}, uplink.mac);
      at_uplink(uplink);
      return {};
    }
    order_.ifindex = dataplane_.ifindex_of(endpoint->task_id);
    if (order_.ifindex == 0) {
      return fail(ErrorKind::kNotFound, fmt::format("task {} ({}) has no link on this host (yet)", endpoint->name,
                                                    packet.source.ip.to_string()));
    }
    order_.frame = dataplane::make_frame(packet, MacAddress::of_endpoint(endpoint->ingress_v4), uplink.mac);
    at_container(endpoint->name);
    return {};
  }

  Status walk() {
    for (int i = 0; i < kRunsMax && !order_.program.empty(); ++i) TRY(one_program());
    return {};
  }

  model::TraceAnswer take() { return std::move(answer_); }

 private:
  [[nodiscard]] const dataplane::Uplink& uplink_with(const IpAddress& destination) const {
    const auto has = [&](const dataplane::Uplink& one) {
      return std::ranges::find(one.addresses, destination) != one.addresses.end();
    };
    const auto found = std::ranges::find_if(uplinks_, has);
    return found == uplinks_.end() ? uplinks_.front() : *found;
  }

  void at_uplink(const dataplane::Uplink& uplink) {
    uplink_name_ = uplink.name;
    const bool xdp = uplink.mode == dataplane::UplinkMode::kXdp;
    order_.program = xdp ? "mesh_uplink_xdp" : "mesh_uplink_tc";
    order_.ifindex = uplink.ifindex;
    where_ = fmt::format("uplink {} ({})", uplink.name, xdp ? "xdp" : "tc");
  }
  void at_container(const std::string& task) {
    order_.program = "mesh_endpoint_tc";
    where_ = fmt::format("{} of task {}", answer_.answer ? "answer" : "packet", task);
  }
  void end(std::string how) {
    order_.program.clear();
    answer_.end = std::move(how);
  }

  Status one_program() {
    const dataplane::TracedFrame before = dataplane::read_frame(order_.frame);
    const dataplane::TraceRun run = TRY(dataplane_.trace(order_));
    order_.met.reset();  // its tables have it now
    std::vector<std::string> lines = run_text(names_, before, run);
    if (!caught_line_.empty()) lines.insert(lines.begin(), std::exchange(caught_line_, {}));
    if (been_here_ && run.flow && !answer_.answer) lines.insert(lines.end() - 1, kBeenHere);
    answer_.steps.push_back({where_, frame_text(names_, before), std::move(lines)});
    using Verdict = dataplane::TraceRun::Verdict;
    if (run.verdict == Verdict::kDrop) {
      end("dropped" + (run.drops.empty() ? std::string() : ": " + run.drops.front()));
    } else if (run.verdict == Verdict::kPass) {
      passed();
    } else {
      redirected(run);
    }
    return {};
  }

  // What XDP leaves alone, the tc program of the same uplink sees next.
  void passed() {
    if (order_.program == "mesh_uplink_xdp") {
      order_.program = "mesh_uplink_tc";
      where_ = fmt::format("uplink {} (tc, after xdp)", uplink_name_);
      return;
    }
    end("handed to this host's own stack");
  }

  void redirected(const dataplane::TraceRun& run) {
    const dataplane::TracedFrame after = dataplane::read_frame(run.frame);
    if (after.tunnel) {
      const std::uint16_t next = names_.number_at(after.tunnel->to);
      if (next == 0) return end("sent to " + after.tunnel->to.to_string() + ", which is no node");
      order_.program.clear();
      answer_.next = next;
      answer_.packet = base64_encode(run.frame);
      return;
    }
    if (run.endpoint_ifindex == 0) return end(answer_.answer ? "answered" : "left this host");
    if (answer_.answer) return end("answered");
    delivered(run, after);
  }

  void delivered(const dataplane::TraceRun& run, const dataplane::TracedFrame& after) {
    auto answer = dataplane::answer_to(run.frame, knows_flow(run, *after.packet));
    if (!answer) return end("delivered");
    const model::EndpointRow* endpoint = names_.endpoint(after.packet->destination.ip);
    order_.frame = std::move(*answer);
    order_.ifindex = run.endpoint_ifindex;
    answer_.answer = true;
    at_container(endpoint != nullptr ? endpoint->name : after.packet->destination.ip.to_string());
  }

  dataplane::Dataplane& dataplane_;
  const std::vector<dataplane::Uplink>& uplinks_;
  std::string uplink_name_;
  TraceNames names_;
  dataplane::TraceOrder order_;
  std::string where_;
  std::string caught_line_;  // of the first step
  bool been_here_ = false;   // a real packet, which was caught elsewhere
  model::TraceAnswer answer_;
};

}  // namespace

Result<dataplane::CatchOrder> catch_order(const model::TraceCatch& next) {
  dataplane::CatchOrder order;
  order.source = TRY_IN("source", parse_end(next.source));
  order.destination = TRY_IN("destination", parse_end(next.destination));
  if (next.port != 0) order.destination.port = next.port;
  if (next.protocol == "tcp") order.protocol = 6;
  if (next.protocol == "udp") order.protocol = 17;
  order.in_tunnel = next.in_tunnel;
  return order;
}

model::TraceAnswer walk_host(dataplane::Dataplane& dataplane, const std::vector<dataplane::Uplink>& uplinks,
                             const model::EndpointTables& tables, std::uint16_t self,
                             const model::TraceQuestion& question,
                             const std::optional<dataplane::CaughtPacket>& caught) {
  HostWalk walk(dataplane, uplinks, tables, self, question);
  Status status;
  if (caught) {
    walk.begin_caught(*caught);
  } else {
    status = walk.begin(question);
  }
  if (status) status = walk.walk();
  model::TraceAnswer answer = walk.take();
  if (!status) answer.error = status.error().message;
  return answer;
}

}  // namespace mesh::agent
