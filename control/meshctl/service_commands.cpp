// meshctl service …
#include <cstdio>
#include <cstdlib>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/file.h"
#include "control/meshctl/calls.h"
#include "control/meshctl/cli.h"
#include "control/meshctl/converge.h"
#include "control/meshctl/parse.h"
#include "control/meshctl/pretty.h"
#include "control/meshctl/pull_progress.h"
#include "control/meshctl/rows.h"
#include "control/meshctl/service_options.h"
#include "control/meshctl/wait_notice.h"

namespace mesh::meshctl {
namespace {

// How a changing command waits.
struct WaitFlags {
  bool detach = false, quiet = false;
  std::optional<std::string> timeout;
};

struct CreateCommand {
  CreateFlags spec;
  WaitFlags wait;
  std::vector<std::string> env_files;
  bool no_resolve_image = false;
};

struct UpdateCommand {
  UpdateServiceFlags spec;
  WaitFlags wait;
  std::string name;
  bool rollback = false, no_resolve_image = false;
};

struct ScaleCommand {
  std::vector<std::string> wanted;
  WaitFlags wait;
};

struct PsCommand {
  ListFlags list;
  std::vector<std::string> names;
  bool no_resolve = false;
};

struct InspectCommand {
  std::vector<std::string> names;
  std::string format;
  bool pretty = false;
};

Status wait_if_wanted(const Client& client, const std::string& id, const WaitFlags& flags, bool rollback_wanted) {
  if (flags.detach) return {};
  ConvergeOptions options{flags.quiet, rollback_wanted, std::nullopt};
  if (flags.timeout) options.timeout = TRY_IN("--timeout", parse_duration(*flags.timeout));
  return wait_converged(client, id, options);
}

void add_wait_flags(CLI::App& command, WaitFlags& flags) {
  command.add_flag("-d,--detach", flags.detach, "do not wait until it has converged");
  command.add_flag("-q,--quiet", flags.quiet, "no progress");
  command.add_option("--timeout", flags.timeout, "give up waiting after this time");
}

// "KEY" takes its value from this process's environment, and is left out where there is none.
std::vector<std::string> completed(const std::vector<std::string>& assignments) {
  std::vector<std::string> complete;
  for (const auto& assignment : assignments) {
    if (assignment.find('=') != std::string::npos) {
      complete.push_back(assignment);
    } else if (const char* value = std::getenv(assignment.c_str()); value != nullptr) {
      complete.push_back(assignment + "=" + value);
    }
  }
  return complete;
}

// The image with the digest that its registry has now, so that all hosts run the same. A registry that does not answer
// is a warning: the hosts may have the image.
std::string pinned(const Client& client, const std::string& image, bool quiet) {
  if (image.find('@') != std::string::npos) return image;
  std::optional<WaitNotice> notice;
  if (!quiet) notice.emplace("the registry to tell the digest of " + image);
  const auto answer = client.get(object_path("distribution", image, "json"));
  if (answer) {
    const JsonObject* object = answer->if_object();
    const Json* descriptor = object == nullptr ? nullptr : object->if_contains("Descriptor");
    const JsonObject* fields = descriptor == nullptr ? nullptr : descriptor->if_object();
    const Json* digest = fields == nullptr ? nullptr : fields->if_contains("digest");
    if (digest != nullptr && digest->is_string()) {
      const auto [repository, tag] = split_reference(image);
      return repository + ":" + tag + "@" + std::string(digest->as_string());
    }
  }
  fmt::print(stderr,
             "image {} could not be accessed on a registry to record its digest ({}). Each node will access it by "
             "itself, and nodes may run different versions of it.\n",
             image, answer ? "no digest in its answer" : answer.error().message);
  return image;
}

Status create(const Client& client, CreateCommand command) {
  auto& flags = command.spec;
  std::vector<std::string> env;
  for (const auto& name : command.env_files) {
    const auto lines = TRY_IN("--env-file", parse_env_file(TRY(read_file(name))));
    env.insert(env.end(), lines.begin(), lines.end());
  }
  env.insert(env.end(), flags.env.begin(), flags.env.end());
  flags.env = completed(env);
  auto spec = TRY(make_spec(flags));
  if (!command.no_resolve_image) {
    auto& image = spec.task_template.container_spec->image;
    image = pinned(client, image, command.wait.quiet);
  }
  const Json answer = TRY(client.post(path("/services/create"), encode(spec)));
  const JsonObject* object = answer.if_object();
  const Json* id = object == nullptr ? nullptr : object->if_contains("ID");
  if (id == nullptr || !id->is_string()) return fail(ErrorKind::kInternal, "meshd told no id of the new service");
  const std::string service_id(id->as_string());
  print_warnings(answer);
  fmt::print("{}\n", service_id);
  std::fflush(stdout);
  return wait_if_wanted(client, service_id, command.wait, false);
}

Status update(const Client& client, UpdateCommand command) {
  auto service = TRY(get_service(client, command.name));
  command.spec.env.add = completed(command.spec.env.add);
  if (command.rollback) {
    TRY(update_service(client, service, service.spec, "previous"));
  } else {
    if (command.spec.image && !command.no_resolve_image) {
      command.spec.image = pinned(client, *command.spec.image, command.wait.quiet);
    }
    TRY(update_service(client, service, TRY(change_spec(service.spec, command.spec))));
  }
  fmt::print("{}\n", command.name);
  std::fflush(stdout);
  return wait_if_wanted(client, service.id, command.wait, command.rollback);
}

Status scale(const Client& client, const ScaleCommand& command) {
  std::vector<std::string> ids;
  auto status = for_each_name(command.wanted, [&](const std::string& text) -> Status {
    const auto [name, replicas] = TRY(parse_scale(text));
    const auto service = TRY(get_service(client, name));
    UpdateServiceFlags flags;
    flags.common.replicas = replicas;
    if (!service.spec.mode.replicated) {
      return fail(ErrorKind::kInvalid, fmt::format("{}: only a replicated service can be scaled", name));
    }
    TRY(update_service(client, service, TRY(change_spec(service.spec, flags))));
    fmt::print("{} scaled to {}\n", name, replicas);
    std::fflush(stdout);
    ids.push_back(service.id);
    return {};
  });
  for (const auto& id : ids) TRY(wait_if_wanted(client, id, command.wait, false));
  return status;
}

Status list(const Client& client, const ListFlags& flags) {
  const auto services = TRY(list_services(client, TRY(parse_filters(flags.filters))));
  const auto rows = service_rows(services, {!flags.no_trunc, true, wall_now()});
  const std::string_view format = flags.quiet ? "{{.ID}}" : std::string_view(flags.format);
  fmt::print("{}", TRY(render_list(kServiceView, format, rows)));
  return {};
}

Status ps(const Client& client, const PsCommand& command) {
  std::vector<model::Task> tasks;
  std::map<std::string, std::string> services;
  const auto status = for_each_name(command.names, [&](const std::string& name) -> Status {
    const auto service = TRY(get_service(client, name));
    services[service.id] = service.spec.name;
    auto filters = command.list.filters;
    filters.push_back("service=" + service.id);
    for (auto& task : TRY(list_tasks(client, TRY(parse_filters(filters))))) tasks.push_back(std::move(task));
    return {};
  });
  if (services.empty()) return status;
  const RowOptions options{!command.list.no_trunc, !command.no_resolve, wall_now()};
  const auto rows = task_rows(std::move(tasks), services, names_of(TRY(list_nodes(client))), options);
  const std::string_view format = command.list.quiet ? "{{.ID}}" : std::string_view(command.list.format);
  fmt::print("{}", TRY(render_list(kTaskView, format, rows)));
  return status;
}

Status inspect(const Client& client, const InspectCommand& command) {
  JsonArray objects;
  std::string pretty;
  const auto status = for_each_name(command.names, [&](const std::string& name) -> Status {
    const auto json = TRY(client.get(object_path("services", name)));
    if (command.pretty) pretty += (pretty.empty() ? "" : "\n") + pretty_service(TRY(decode<model::Service>(json)));
    objects.push_back(json);
    return {};
  });
  fmt::print("{}", command.pretty ? pretty : TRY(render_inspect(command.format, objects)));
  return status;
}

Status remove(const Client& client, const std::vector<std::string>& names) {
  return for_each_name(names, [&](const std::string& name) -> Status {
    TRY(client.del(object_path("services", name)));
    fmt::print("{}\n", name);
    return {};
  });
}

void add_create(CLI::App& group, Cli& cli) {
  auto made = std::make_shared<CreateCommand>();
  CLI::App* command = group.add_subcommand("create", "Run an image as a service");
  add_create_flags(*command, made->spec);
  add_list(*command, "--env-file", made->env_files, "file of KEY=VALUE lines");
  command->add_flag("--no-resolve-image", made->no_resolve_image, "do not ask the registry for the digest");
  add_wait_flags(*command, made->wait);
  command->add_option("IMAGE", made->spec.image, "to run")->required();
  command->footer("What follows IMAGE is the command: its arguments, which may look like flags.");
  end_flags_at_positional(*command);
  set_action(*command, cli, [made, &cli](const Client& client) {
    made->spec.args = cli.container_command;
    return create(client, *made);
  });
}

void add_update(CLI::App& group, Cli& cli) {
  auto changed = std::make_shared<UpdateCommand>();
  CLI::App* command = group.add_subcommand("update", "Change a service");
  add_update_flags(*command, changed->spec);
  command->add_flag("--rollback", changed->rollback, "to the specification before the last change");
  command->add_flag("--no-resolve-image", changed->no_resolve_image, "do not ask the registry for the digest");
  add_wait_flags(*command, changed->wait);
  command->add_option("SERVICE", changed->name, "name or id")->required();
  set_action(*command, cli, [changed](const Client& client) { return update(client, *changed); });

  auto back = std::make_shared<UpdateCommand>();
  back->rollback = true;
  command = group.add_subcommand("rollback", "As 'update --rollback'");
  add_wait_flags(*command, back->wait);
  command->add_option("SERVICE", back->name, "name or id")->required();
  set_action(*command, cli, [back](const Client& client) { return update(client, *back); });
}

}  // namespace

void add_service_commands(CLI::App& app, Cli& cli) {
  CLI::App* group = add_group(app, "service", "What runs in the cluster");
  add_create(*group, cli);
  add_update(*group, cli);

  auto scaled = std::make_shared<ScaleCommand>();
  CLI::App* command = group->add_subcommand("scale", "Set the number of tasks of services");
  add_names(*command, "SERVICE=REPLICAS", scaled->wanted, "one or more");
  add_wait_flags(*command, scaled->wait);
  set_action(*command, cli, [scaled](const Client& client) { return scale(client, *scaled); });

  auto ls = std::make_shared<ListFlags>();
  command = group->add_subcommand("ls", "List services")->alias("list");
  add_list_flags(*command, *ls);
  set_action(*command, cli, [ls](const Client& client) { return list(client, *ls); });

  auto tasks = std::make_shared<PsCommand>();
  command = group->add_subcommand("ps", "List the tasks of services");
  add_names(*command, "SERVICE", tasks->names, "name or id");
  add_list_flags(*command, tasks->list);
  command->add_flag("--no-resolve", tasks->no_resolve, "ids instead of names");
  set_action(*command, cli, [tasks](const Client& client) { return ps(client, *tasks); });

  auto shown = std::make_shared<InspectCommand>();
  command = group->add_subcommand("inspect", "Show services in full");
  add_names(*command, "SERVICE", shown->names, "name or id");
  command->add_option("-f,--format", shown->format, "Go template");
  command->add_flag("--pretty", shown->pretty, "for reading");
  set_action(*command, cli, [shown](const Client& client) { return inspect(client, *shown); });

  auto removed = std::make_shared<std::vector<std::string>>();
  command = group->add_subcommand("rm", "Remove services and their tasks")->alias("remove");
  add_names(*command, "SERVICE", *removed, "name or id");
  set_action(*command, cli, [removed](const Client& client) { return remove(client, *removed); });
}

}  // namespace mesh::meshctl
