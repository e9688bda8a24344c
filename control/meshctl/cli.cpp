#include "control/meshctl/cli.h"

#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace mesh::meshctl {
namespace {

bool takes_value(const CLI::App& command, const std::string& flag) {
  const CLI::Option* option = command.get_option_no_throw(flag);
  return option != nullptr && option->get_items_expected_min() > 0;
}

// Whether `argument`, a flag or several short ones ("-dp"), has its value in the argument after it.
bool value_follows(const CLI::App& command, const std::string& argument) {
  if (argument.starts_with("--")) return !argument.contains('=') && takes_value(command, argument);
  for (std::size_t i = 1; i < argument.size(); ++i) {
    if (takes_value(command, std::string("-") + argument[i])) return i + 1 == argument.size();
  }
  return false;
}

const CLI::App* command_named(const CLI::App& group, const std::string& name) {
  const auto commands = group.get_subcommands([&](const CLI::App* command) { return command->check_name(name); });
  return commands.empty() ? nullptr : commands.front();
}

}  // namespace

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

void end_flags_at_positional(CLI::App& command) { command.positionals_at_end(); }

std::vector<std::string> cut_container_command(const CLI::App& app, std::vector<std::string>& arguments) {
  const CLI::App* command = &app;
  bool flags_ended = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (!flags_ended && argument.size() > 1 && argument.starts_with('-')) {
      flags_ended = argument == "--";
      if (!flags_ended && value_follows(*command, argument)) ++i;
    } else if (command->get_positionals_at_end()) {
      const auto rest = arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1;
      std::vector<std::string> cut(rest, arguments.end());
      arguments.erase(rest, arguments.end());
      return cut;
    } else if (command = command_named(*command, argument); command == nullptr) {
      return {};
    }
  }
  return {};
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
