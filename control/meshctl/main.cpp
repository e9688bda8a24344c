// meshctl: the command line of a mesh cluster. Exit code 0: done as asked; 1: refused or failed, the reason is on
// standard error; 2: the command line was not understood.
#include <algorithm>
#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "control/meshctl/cli.h"

namespace {

using mesh::meshctl::Cli;

constexpr int kFailed = 1;
constexpr int kUsage = 2;

void add_all(CLI::App& app, Cli& cli) {
  app.require_subcommand(1);
  app.add_option("-H,--host", cli.host, "socket of meshd, unix:///PATH")
      ->envname("MESHD_HOST")
      ->default_str(std::string(mesh::api::kDefaultHost));
  mesh::meshctl::add_swarm_commands(app, cli);
  mesh::meshctl::add_node_commands(app, cli);
  mesh::meshctl::add_service_commands(app, cli);
  mesh::meshctl::add_network_commands(app, cli);
  mesh::meshctl::add_image_commands(app, cli);
  mesh::meshctl::add_mesh_commands(app, cli);
  mesh::meshctl::add_system_commands(app, cli);
}

int run(int argc, char** argv) {
  CLI::App app("meshctl: services on many hosts as one", "meshctl");
  Cli cli;
  cli.host = std::string(mesh::api::kDefaultHost);
  add_all(app, cli);
  std::vector<std::string> arguments(argv + 1, argv + argc);
  cli.container_command = mesh::meshctl::cut_container_command(app, arguments);
  try {
    std::ranges::reverse(arguments);  // as CLI11 wants them
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  const auto client = mesh::api::Client::open(cli.host);
  const mesh::Status status = client ? cli.run(*client) : std::unexpected(client.error());
  if (status) return 0;
  std::fflush(stdout);
  fmt::print(stderr, "meshctl: {}\n", status.error().message);
  return kFailed;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "meshctl: internal error: {}\n", error.what());
    return kFailed;
  }
}
