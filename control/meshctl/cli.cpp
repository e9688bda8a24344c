#include "control/meshctl/cli.h"

#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace mesh::meshctl {

CLI::App* add_group(CLI::App& app, const std::string& name, const std::string& what) {
  CLI::App* group = app.add_subcommand(name, what);
  group->require_subcommand(1);
  return group;
}

CLI::Option* add_list(CLI::App& command, const std::string& flags, std::vector<std::string>& to,
                      const std::string& what) {
  return command.add_option(flags, to, what)->allow_extra_args(false);
}

CLI::Option* add_names(CLI::App& command, const std::string& name, std::vector<std::string>& to,
                       const std::string& what) {
  return command.add_option(name, to, what)->required();
}

void set_action(CLI::App& command, Cli& cli, Action action) {
  command.callback([&cli, action = std::move(action)] { cli.run = action; });
}

Status for_each_name(const std::vector<std::string>& names, const std::function<Status(const std::string&)>& one) {
  std::optional<Error> last;
  for (const auto& name : names) {
    const Status status = one(name);
    if (status) continue;
    if (last) fmt::print(stderr, "meshctl: {}\n", last->message);
    last = status.error();
  }
  if (last) return std::unexpected(*last);
  return {};
}

void add_list_flags(CLI::App& command, ListFlags& flags) {
  add_list(command, "-f,--filter", flags.filters, "only what matches NAME=VALUE; may be repeated");
  command.add_option("--format", flags.format, "\"json\", \"table TEMPLATE\" or a Go template");
  command.add_flag("-q,--quiet", flags.quiet, "only ids");
  command.add_flag("--no-trunc", flags.no_trunc, "do not shorten");
}

}  // namespace mesh::meshctl
