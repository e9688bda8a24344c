// The command tree. Each group adds its commands; parsing picks one and leaves what is to be done in Cli::run.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/api/client.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace mesh::meshctl {

using Action = std::function<Status(const api::Client&)>;

struct Cli {
  std::string host;
  Action run;
  std::vector<std::string> container_command;  // what followed IMAGE
};

void add_swarm_commands(CLI::App& app, Cli& cli);
void add_node_commands(CLI::App& app, Cli& cli);
void add_service_commands(CLI::App& app, Cli& cli);
void add_network_commands(CLI::App& app, Cli& cli);
void add_image_commands(CLI::App& app, Cli& cli);
void add_mesh_commands(CLI::App& app, Cli& cli);    // publish, unpublish, status, doctor, dataplane
void add_system_commands(CLI::App& app, Cli& cli);  // version, info

// ---- building blocks

// A group that needs a verb: "node".
CLI::App* add_group(CLI::App& app, const std::string& name, const std::string& what);

// A command whose flags live in an Options of its own; `action` gets them when it was chosen.
template <class Options>
using ActionOf = std::function<Status(const api::Client&, const Options&)>;

// A flag that may be repeated and takes one value each time.
CLI::Option* add_list(CLI::App& command, const std::string& flags, std::vector<std::string>& to,
                      const std::string& what);
// The names at the end; at least one.
CLI::Option* add_names(CLI::App& command, const std::string& name, std::vector<std::string>& to,
                       const std::string& what);

// Ends `command`'s flags at its first positional, as docker does: what follows is a container's command, not ours to
// read.
void end_flags_at_positional(CLI::App& command);
// Takes from `arguments` what follows the first positional of such a command and returns it.
std::vector<std::string> cut_container_command(const CLI::App& app, std::vector<std::string>& arguments);

// Makes `action` what is run when `command` was chosen.
void set_action(CLI::App& command, Cli& cli, Action action);

// Calls `one` for each name, prints every error and goes on; fails when one failed.
Status for_each_name(const std::vector<std::string>& names, const std::function<Status(const std::string&)>& one);

// ---- flags that lists share
struct ListFlags {
  std::vector<std::string> filters;
  std::string format;
  bool quiet = false;
  bool no_trunc = false;
};
void add_list_flags(CLI::App& command, ListFlags& flags);

}  // namespace mesh::meshctl
