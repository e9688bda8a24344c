#include "control/meshctl/trace.h"

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/address.h"
#include "control/meshctl/calls.h"
#include "control/meshctl/listing.h"

namespace mesh::meshctl {
namespace {

// A client's port where none is given: the way may depend on it, and this one is the same each time.
constexpr std::uint16_t kSourcePort = 40000;

struct TraceFlags {
  std::string source, destination, protocol = "tcp", format;
  std::uint16_t port = 0;
  bool syn = false, ack = false;
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

Status trace(const Client& client, const TraceFlags& flags) {
  const SocketAddress source = TRY_IN("--src", SocketAddress::parse(flags.source, kSourcePort));
  TRY_IN("--dst", IpAddress::parse(flags.destination));
  if (flags.protocol == "udp" && (flags.syn || flags.ack)) {
    return fail(ErrorKind::kInvalid, "--syn and --ack are of TCP; leave them out with --proto udp");
  }
  const Json answer = TRY(client.get(path(fmt::format(
      "/mesh/trace?src={}&dst={}&dport={}&proto={}&established={}", api::encode_query(source.to_string()),
      api::encode_query(flags.destination), flags.port, api::encode_query(flags.protocol), flags.ack ? 1 : 0))));
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
  CLI::App* command = app.add_subcommand(
      "trace", "The way of a made-up packet through the programs of all hosts, step by step; it leaves nothing behind");
  command->add_option("--src", flags->source, "ADDRESS[:PORT] of a client or of a task")->required();
  command->add_option("--dst", flags->destination, "address of a node or of a task")->required();
  command->add_option("--dport", flags->port, "port that it asks for")->required();
  command->add_option("--proto", flags->protocol, "tcp or udp")->check(CLI::IsMember({"tcp", "udp"}));
  CLI::Option* syn = command->add_flag("--syn", flags->syn, "the first packet of a TCP connection (default)");
  command->add_flag("--ack", flags->ack, "a later one, of a connection that is open")->excludes(syn);
  command->add_option("-f,--format", flags->format, "json or a Go template");
  set_action(*command, cli, [flags](const Client& client) { return trace(client, *flags); });
}

}  // namespace mesh::meshctl
