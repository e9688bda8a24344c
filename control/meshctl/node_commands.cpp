// meshctl node …
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "control/meshctl/calls.h"
#include "control/meshctl/cli.h"
#include "control/meshctl/parse.h"
#include "control/meshctl/pretty.h"
#include "control/meshctl/rows.h"
#include "control/meshctl/wording.h"

namespace mesh::meshctl {
namespace {

struct InspectFlags {
  std::vector<std::string> names;
  std::string format;
  bool pretty = false;
};

struct PsFlags {
  ListFlags list;
  std::vector<std::string> names;
  bool no_resolve = false;
};

struct UpdateFlags {
  std::string name;
  std::optional<std::string> availability, role;
  std::vector<std::string> label_add, label_rm;
};

struct RemoveFlags {
  std::vector<std::string> names;
  bool force = false;
};

Status list(const Client& client, const ListFlags& flags) {
  const auto nodes = TRY(list_nodes(client, TRY(parse_filters(flags.filters))));
  const auto self = TRY(swarm_info(client)).node_id;
  const auto rows = node_rows(nodes, self);
  const std::string_view format = flags.quiet ? "{{.ID}}" : std::string_view(flags.format);
  fmt::print("{}", TRY(render_list(kNodeView, format, rows)));
  return {};
}

Status inspect(const Client& client, const InspectFlags& flags) {
  JsonArray objects;
  std::string pretty;
  const auto status = for_each_name(flags.names, [&](const std::string& name) -> Status {
    const auto json = TRY(client.get(object_path("nodes", TRY(node_id_of(client, name)))));
    if (flags.pretty) pretty += (pretty.empty() ? "" : "\n") + pretty_node(TRY(decode<model::Node>(json)));
    objects.push_back(json);
    return {};
  });
  fmt::print("{}", flags.pretty ? pretty : TRY(render_inspect(flags.format, objects)));
  return status;
}

Status ps(const Client& client, const PsFlags& flags) {
  std::vector<model::Task> tasks;
  const auto status = for_each_name(flags.names, [&](const std::string& name) -> Status {
    auto filters = flags.list.filters;
    filters.push_back("node=" + TRY(get_node(client, name)).id);
    for (auto& task : TRY(list_tasks(client, TRY(parse_filters(filters))))) tasks.push_back(std::move(task));
    return {};
  });
  const RowOptions options{!flags.list.no_trunc, !flags.no_resolve, wall_now()};
  const auto rows =
      task_rows(std::move(tasks), names_of(TRY(list_services(client))), names_of(TRY(list_nodes(client))), options);
  const std::string_view format = flags.list.quiet ? "{{.ID}}" : std::string_view(flags.list.format);
  fmt::print("{}", TRY(render_list(kTaskView, format, rows)));
  return status;
}

Status put_node(const Client& client, const model::Node& node, const model::NodeSpec& spec) {
  const auto target = object_path("nodes", node.id, "update") + fmt::format("?version={}", node.version.index);
  TRY(client.post(target, encode(spec)));
  return {};
}

Status update(const Client& client, const UpdateFlags& flags) {
  const auto node = TRY(get_node(client, flags.name));
  auto spec = node.spec;
  if (flags.availability) {
    spec.availability = TRY(parse_choice<model::Availability>("--availability", *flags.availability));
  }
  if (flags.role) spec.role = TRY(parse_choice<model::NodeRole>("--role", *flags.role));
  for (const auto& key : flags.label_rm) {
    if (spec.labels.erase(key) == 0) {
      return fail(ErrorKind::kInvalid, fmt::format("key {} doesn't exist in the labels of node {}", key, flags.name));
    }
  }
  for (const auto& text : flags.label_add) {
    auto [key, value] = parse_label(text);
    spec.labels[key] = value;
  }
  TRY(put_node(client, node, spec));
  fmt::print("{}\n", flags.name);
  return {};
}

Status set_role(const Client& client, const std::vector<std::string>& names, model::NodeRole role) {
  const bool promotes = role == model::NodeRole::kManager;
  return for_each_name(names, [&](const std::string& name) -> Status {
    const auto node = TRY(get_node(client, name));
    if (node.spec.role == role) {
      fmt::print("Node {} is already a {}.\n", name, promotes ? "manager" : "worker");
      return {};
    }
    auto spec = node.spec;
    spec.role = role;
    TRY(put_node(client, node, spec));
    fmt::print("{}\n", promotes ? fmt::format("Node {} promoted to a manager in the swarm.", name)
                                : fmt::format("Manager {} demoted in the swarm.", name));
    return {};
  });
}

Status remove(const Client& client, const RemoveFlags& flags) {
  return for_each_name(flags.names, [&](const std::string& name) -> Status {
    const auto id = TRY(node_id_of(client, name));
    TRY(client.del(object_path("nodes", id) + (flags.force ? "?force=1" : "")));
    fmt::print("{}\n", name);
    return {};
  });
}

void add_role_command(CLI::App& group, Cli& cli, const std::string& name, const std::string& what,
                      model::NodeRole role) {
  auto names = std::make_shared<std::vector<std::string>>();
  CLI::App* command = group.add_subcommand(name, what);
  add_names(*command, "NODE", *names, "hostname or id");
  set_action(*command, cli, [names, role](const Client& client) { return set_role(client, *names, role); });
}

}  // namespace

void add_node_commands(CLI::App& app, Cli& cli) {
  CLI::App* group = add_group(app, "node", "The hosts of the cluster");

  auto ls = std::make_shared<ListFlags>();
  CLI::App* command = group->add_subcommand("ls", "List nodes")->alias("list");
  add_list_flags(*command, *ls);
  set_action(*command, cli, [ls](const Client& client) { return list(client, *ls); });

  auto shown = std::make_shared<InspectFlags>();
  command = group->add_subcommand("inspect", "Show nodes in full");
  add_names(*command, "NODE", shown->names, "hostname, id or self");
  command->add_option("-f,--format", shown->format, "Go template");
  command->add_flag("--pretty", shown->pretty, "for reading");
  set_action(*command, cli, [shown](const Client& client) { return inspect(client, *shown); });

  auto tasks = std::make_shared<PsFlags>();
  command = group->add_subcommand("ps", "List the tasks on nodes");
  tasks->names = {"self"};
  command->add_option("NODE", tasks->names, "hostname, id or self (the default)");
  add_list_flags(*command, tasks->list);
  command->add_flag("--no-resolve", tasks->no_resolve, "ids instead of names");
  set_action(*command, cli, [tasks](const Client& client) { return ps(client, *tasks); });

  auto changed = std::make_shared<UpdateFlags>();
  command = group->add_subcommand("update", "Change a node's labels, availability or role");
  command->add_option("NODE", changed->name, "hostname, id or self")->required();
  command->add_option("--availability", changed->availability, "active, pause or drain");
  command->add_option("--role", changed->role, "worker or manager");
  add_list(*command, "--label-add", changed->label_add, "KEY=VALUE");
  add_list(*command, "--label-rm", changed->label_rm, "KEY");
  set_action(*command, cli, [changed](const Client& client) { return update(client, *changed); });

  add_role_command(*group, cli, "promote", "Make workers managers", model::NodeRole::kManager);
  add_role_command(*group, cli, "demote", "Make managers workers", model::NodeRole::kWorker);

  auto removed = std::make_shared<RemoveFlags>();
  command = group->add_subcommand("rm", "Remove nodes that are down")->alias("remove");
  add_names(*command, "NODE", removed->names, "hostname or id");
  command->add_flag("-f,--force", removed->force, "also one that is up");
  set_action(*command, cli, [removed](const Client& client) { return remove(client, *removed); });
}

}  // namespace mesh::meshctl
