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
    answer_.steps.push_back({where_, frame_text(names_, before), run_text(names_, before, run)});
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
  model::TraceAnswer answer_;
};

}  // namespace

model::TraceAnswer walk_host(dataplane::Dataplane& dataplane, const std::vector<dataplane::Uplink>& uplinks,
                             const model::EndpointTables& tables, std::uint16_t self,
                             const model::TraceQuestion& question) {
  HostWalk walk(dataplane, uplinks, tables, self, question);
  Status status = walk.begin(question);
  if (status) status = walk.walk();
  model::TraceAnswer answer = walk.take();
  if (!status) answer.error = status.error().message;
  return answer;
}

}  // namespace mesh::agent
