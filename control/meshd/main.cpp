// meshd: the daemon of one host. Reads its options, takes its data directory, starts the agent, takes its place in the
// cluster, serves the API, and on SIGTERM ends and leaves containers, traffic and names as they are.
#include <csignal>
#include <cstdio>
#include <optional>
#include <unistd.h>

#include <boost/asio.hpp>
#include <fmt/format.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "control/agent/agent.h"
#include "control/api/metrics_server.h"
#include "control/api/server.h"
#include "control/meshd/dns_process.h"
#include "control/meshd/lock.h"
#include "control/meshd/notify.h"
#include "control/meshd/options.h"
#include "control/meshd/swarm_node.h"

namespace mesh::meshd {
namespace {

namespace asio = boost::asio;

Result<agent::Options> agent_options(const Options& options) {
  agent::Options result;
  result.data_dir = options.data_dir;
  result.runtime_dir = options.runtime_dir;
  result.cgroup_root = options.cgroup_root;
  for (const std::string_view name : split(options.uplink, ',')) {
    if (!trim(name).empty()) result.uplinks.emplace_back(trim(name));
  }
  result.uplink_mode = options.uplink_mode;
  result.registry_mirror = options.registry_mirror;
  result.engine_version = kVersion;
  if (!options.advertise_addr.empty()) {
    result.advertise = TRY_IN("advertise-addr", SocketAddress::parse(options.advertise_addr, kClusterPort)).ip;
  }
  return result;
}

Status clean_up(const Options& options) {
  const Fd lock = TRY(lock_data_dir(options.data_dir));
  const agent::Options for_agent = TRY(agent_options(options));
  Status outcome = agent::Agent::cleanup(for_agent);
  for (const std::string& path :
       {options.data_dir + "/cluster", options.socket, options.runtime_dir, options.data_dir + "/meshd.lock"}) {
    // What can be removed is, whatever else could not.
    if (Status removed = remove_tree(path); !removed && outcome) outcome = std::move(removed);
  }
  (void)::rmdir(options.data_dir.c_str());  // stays if anything in it is not ours
  return outcome;
}

void log_notify(std::string_view state) {
  if (const Status sent = notify_service_manager(state); !sent) {
    spdlog::warn("the service manager was not told {} error=\"{}\"", state, sent.error().message);
  }
}

Status run(const Options& options) {
  TRY(set_up_log(options.log_level));
  if (::geteuid() != 0)
    return fail(ErrorKind::kForbidden, "meshd must run as root: it loads BPF programs and starts containers");
  const Fd lock = TRY(lock_data_dir(options.data_dir));
  std::signal(SIGPIPE, SIG_IGN);
  spdlog::info("meshd starts version={} data_dir={}", kVersion, options.data_dir);

  asio::io_context loop(1);
  agent::Agent agent(loop, TRY(agent_options(options)));
  TRY(agent.start());
  SwarmNode swarm(loop, options, agent);
  TRY(swarm.start());
  api::Context context{agent, swarm, {kVersion, "", "", options.data_dir}, [&] { return agent.description(); }};
  api::Server server(loop, context);
  TRY(server.listen(options.socket));
  api::MetricsServer metrics(loop, context);
  if (!options.metrics_addr.empty()) {
    const SocketAddress open = TRY(metrics.listen(TRY(SocketAddress::parse(options.metrics_addr))));
    spdlog::info("metrics are open to everybody who reaches them listen={}", open.to_string());
  }

  asio::signal_set signals(loop, SIGTERM, SIGINT);
  signals.async_wait([&](const boost::system::error_code& error, int signal) {
    if (error) return;
    spdlog::info("meshd stops signal={}; containers, traffic and names go on", signal);
    log_notify("STOPPING=1");
    server.stop();
    metrics.stop();
    swarm.stop();
    agent.shutdown();
    loop.stop();
  });
  log_notify("READY=1");
  spdlog::info("meshd is ready socket={}", options.socket);
  loop.run();
  return {};
}

int report(const Error& error) {
  fmt::print(stderr, "meshd: {}\n", error.message);
  return error.kind == ErrorKind::kInvalid ? 2 : 1;
}

int main_of(const std::vector<std::string>& arguments) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  const Result<CommandLine> line = read_options(arguments, environment);
  if (!line) return report(line.error());
  if (!line->answer.empty()) {
    fmt::print("{}", line->answer);
    return 0;
  }
  const Status done = line->options.cleanup ? clean_up(line->options) : run(line->options);
  return done ? 0 : report(done.error());
}

}  // namespace
}  // namespace mesh::meshd

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    if (!arguments.empty() && arguments.front() == "dns") {
      return mesh::meshd::run_dns({arguments.begin() + 1, arguments.end()});
    }
    return mesh::meshd::main_of(arguments);
  } catch (const std::exception& error) {
    // Nothing of ours throws; what third parties throw past their adaptors ends here, and the service manager restarts
    // us.
    fmt::print(stderr, "meshd: unexpected: {}\n", error.what());
    return 1;
  }
}
