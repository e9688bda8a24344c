#include "control/meshctl/trace.h"

#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/address.h"
#include "base/clock.h"
#include "control/meshctl/calls.h"
#include "control/meshctl/listing.h"
#include "control/meshctl/wait_notice.h"

namespace mesh::meshctl {
namespace {

// A client's port where none is given: the way may depend on it, and this one is the same each time.
constexpr std::uint16_t kSourcePort = 40000;

struct TraceFlags {
  std::string source, destination, protocol, format;
  std::string node, timeout = "30s";
  std::uint16_t port = 0;
  bool syn = false, ack = false, next = false;
};

struct StepAnswer {
  std::string node, where, packet;
  std::vector<std::string> lines;
};
template <class Visit>
constexpr bool json_fields(const StepAnswer*, Visit&& visit) {
  return visit("Node", &StepAnswer::node) && visit("Where", &StepAnswer::where) &&
         visit("Packet", &StepAnswer::packet) && visit("Lines", &StepAnswer::lines);
}
struct WalkAnswer {
  std::vector<StepAnswer> steps;
  std::string end, error;
};
template <class Visit>
constexpr bool json_fields(const WalkAnswer*, Visit&& visit) {
  return visit("Steps", &WalkAnswer::steps) && visit("End", &WalkAnswer::end) && visit("Error", &WalkAnswer::error);
}

// The target of a made-up packet's walk.
Result<std::string> probe_target(const TraceFlags& flags) {
  for (const auto& [missing, name] :
       {std::pair{flags.source.empty(), "--src"}, std::pair{flags.destination.empty(), "--dst"},
        std::pair{flags.port == 0, "--dport"}}) {
    if (!missing) continue;
    return fail(
        ErrorKind::kInvalid,
        fmt::format("{} is required: a made-up packet is from --src to --dst and --dport; to wait for a real one, "
                    "add --next",
                    name));
  }
  if (!flags.node.empty())
    return fail(ErrorKind::kInvalid, "--node is of --next: a made-up packet begins where --dst is");
  const SocketAddress source = TRY_IN("--src", SocketAddress::parse(flags.source, kSourcePort));
  TRY_IN("--dst", IpAddress::parse(flags.destination));
  if (flags.protocol == "udp" && (flags.syn || flags.ack)) {
    return fail(ErrorKind::kInvalid, "--syn and --ack are of TCP; leave them out with --proto udp");
  }
  return fmt::format("/mesh/trace?src={}&dst={}&dport={}&proto={}&established={}",
                     api::encode_query(source.to_string()), api::encode_query(flags.destination), flags.port,
                     api::encode_query(flags.protocol), flags.ack ? 1 : 0);
}

// "ADDRESS" or "ADDRESS:PORT" or nothing.
Status check_end(const std::string& text) {
  if (text.empty() || IpAddress::parse(text)) return {};
  TRY(SocketAddress::parse(text));
  return {};
}

// The target of a real packet's.
Result<std::string> next_target(const TraceFlags& flags) {
  if (flags.syn || flags.ack)
    return fail(ErrorKind::kInvalid, "--syn and --ack are of a made-up packet, not of --next");
  TRY_IN("--src", check_end(flags.source));
  TRY_IN("--dst", check_end(flags.destination));
  TRY_IN("--timeout", parse_duration(flags.timeout));
  std::string target = fmt::format("/mesh/trace?next=1&timeout={}", api::encode_query(flags.timeout));
  for (const auto& [name, value] : {std::pair{"src", flags.source}, std::pair{"dst", flags.destination},
                                    std::pair{"proto", flags.protocol}, std::pair{"node", flags.node}}) {
    if (!value.empty()) target += fmt::format("&{}={}", name, api::encode_query(value));
  }
  if (flags.port != 0) target += fmt::format("&dport={}", flags.port);
  return target;
}

Status trace(const Client& client, const TraceFlags& flags) {
  const std::string target = TRY(flags.next ? next_target(flags) : probe_target(flags));
  std::optional<WaitNotice> notice;
  if (flags.next) notice.emplace("such a packet (Ctrl-C ends it)");
  const Json answer = TRY(client.get(path(target)));
  notice.reset();
  if (!flags.format.empty()) {
    fmt::print("{}", TRY(render_inspect(flags.format, JsonArray{answer})));
  } else {
    fmt::print("{}", TRY(render_trace(answer)));
  }
  const auto walk = TRY(decode<WalkAnswer>(answer));
  if (walk.error.empty()) return {};
  return fail(ErrorKind::kUnavailable, "the packet cannot be followed further: " + walk.error);
}

}  // namespace

Result<std::string> render_trace(const Json& answer) {
  const auto walk = TRY(decode<WalkAnswer>(answer));
  std::string text;
  std::size_t number = 0;
  for (const StepAnswer& step : walk.steps) {
    text += fmt::format("{}. {}, {}\n   {}\n", ++number, step.node, step.where, step.packet);
    for (const std::string& line : step.lines) text += fmt::format("     {}\n", line);
  }
  if (!walk.end.empty()) text += fmt::format("End: {}\n", walk.end);
  return text;
}

void add_trace(CLI::App& app, Cli& cli) {
  auto flags = std::make_shared<TraceFlags>();
  CLI::App* command = app.add_subcommand("trace",
                                         "The way of a made-up packet through the programs of all hosts, step by step; "
                                         "it leaves nothing behind. With --next "
                                         "that of the next real packet that is like this");
  command->add_option("--src", flags->source, "ADDRESS[:PORT] of a client or of a task");
  command->add_option("--dst", flags->destination, "address of a node or of a task");
  command->add_option("--dport", flags->port, "port that it asks for");
  command->add_option("--proto", flags->protocol, "tcp or udp")->check(CLI::IsMember({"tcp", "udp"}));
  CLI::Option* syn = command->add_flag("--syn", flags->syn, "the first packet of a TCP connection (default)");
  command->add_flag("--ack", flags->ack, "a later one, of a connection that is open")->excludes(syn);
  CLI::Option* next = command->add_flag(
      "--next", flags->next, "wait for a real packet; --src, --dst, --dport and --proto choose it, all that are given");
  command->add_option(
      "--node", flags->node,
      "the host to wait on, for what comes in the tunnel too (default: that of --dst, of the task --src, or "
      "this one)");
  command->add_option("--timeout", flags->timeout, "how long to wait, at most 10m (default 30s)")->needs(next);
  command->add_option("-f,--format", flags->format, "json or a Go template");
  set_action(*command, cli, [flags](const Client& client) { return trace(client, *flags); });
}

}  // namespace mesh::meshctl
