#include "control/meshd/dns_process.h"

#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/log.h"
#include "control/meshd/options.h"
#include "dns/server.h"

namespace mesh::meshd {

int run_dns(const std::vector<std::string>& arguments) {
  CLI::App app("mesh-dns: answers the names of the cluster for the containers of this host", "meshd dns");
  std::string listen;
  std::string log_level = "info";
  dns::ServerOptions options;
  options.build = kVersion;
  app.add_option("--listen", listen, "ADDRESS:PORT")->required();
  app.add_option("--socket", options.feed_path, "unix socket on which meshd gives the table")->required();
  app.add_option("--state", options.state_path, "file that keeps the last table")->required();
  app.add_option("--build", options.build, "build that is reported to meshd");
  app.add_option("--log-level", log_level, "trace, debug, info, warn or error");
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants them
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  const auto run = [&]() -> Status {
    TRY(set_up_log(log_level));
    options.listen = TRY_IN("--listen", SocketAddress::parse(listen));
    return dns::run_server(options);
  }();
  if (run) return 0;
  fmt::print(stderr, "meshd dns: {}\n", run.error().message);
  return 1;
}

}  // namespace mesh::meshd
