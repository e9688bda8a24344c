// meshctl network …
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "control/meshctl/calls.h"
#include "control/meshctl/cli.h"
#include "control/meshctl/parse.h"
#include "control/meshctl/rows.h"

namespace mesh::meshctl {
namespace {

struct CreateFlags {
  std::string name, driver = "overlay", scope = "swarm";
  std::vector<std::string> subnets, gateways, ranges, labels, options;
  bool internal = false, attachable = false, ipv6 = false, ingress = false;
};

struct InspectFlags {
  std::vector<std::string> names;
  std::string format;
  bool verbose = false;
};

// The n-th subnet goes with the n-th gateway and range.
std::vector<model::IpamConfig> ipam_of(const CreateFlags& flags) {
  std::vector<model::IpamConfig> configs;
  for (std::size_t i = 0; i < flags.subnets.size(); ++i) {
    model::IpamConfig config;
    config.subnet = flags.subnets[i];
    if (i < flags.gateways.size()) config.gateway = flags.gateways[i];
    if (i < flags.ranges.size()) config.ip_range = flags.ranges[i];
    configs.push_back(config);
  }
  return configs;
}

Status create(const Client& client, const CreateFlags& flags) {
  if (flags.gateways.size() > flags.subnets.size() || flags.ranges.size() > flags.subnets.size()) {
    return fail(ErrorKind::kInvalid, "--gateway and --ip-range need a --subnet each");
  }
  model::Network network;
  network.name = flags.name;
  network.driver = flags.driver;
  network.scope = flags.scope;
  network.internal = flags.internal;
  network.attachable = flags.attachable;
  network.enable_ipv6 = flags.ipv6;
  network.ingress = flags.ingress;
  network.ipam.config = ipam_of(flags);
  for (const auto& label : flags.labels)
    network.labels.insert_or_assign(parse_label(label).first, parse_label(label).second);
  for (const auto& option : flags.options) {
    network.options.insert_or_assign(parse_label(option).first, parse_label(option).second);
  }
  Json body = encode(network);
  // What the server gives is not sent.
  for (const char* key : {"Id", "Created"}) body.as_object().erase(key);
  body.as_object()["CheckDuplicate"] = true;
  const Json answer = TRY(client.post(path("/networks/create"), body));
  const JsonObject* object = answer.if_object();
  const Json* id = object == nullptr ? nullptr : object->if_contains("Id");
  if (id == nullptr || !id->is_string()) return fail(ErrorKind::kInternal, "meshd told no id of the new network");
  fmt::print("{}\n", std::string_view(id->as_string()));
  return {};
}

Status list(const Client& client, const ListFlags& flags) {
  const auto filters = TRY(parse_filters(flags.filters));
  const auto networks = TRY(get_as<std::vector<model::Network>>(client, filtered("/networks", filters)));
  const auto rows = network_rows(networks, {!flags.no_trunc, true, wall_now()});
  const std::string_view format = flags.quiet ? "{{.ID}}" : std::string_view(flags.format);
  fmt::print("{}", TRY(render_list(kNetworkView, format, rows)));
  return {};
}

Status inspect(const Client& client, const InspectFlags& flags) {
  JsonArray objects;
  const auto status = for_each_name(flags.names, [&](const std::string& name) -> Status {
    objects.push_back(TRY(client.get(object_path("networks", name) + (flags.verbose ? "?verbose=true" : ""))));
    return {};
  });
  fmt::print("{}", TRY(render_inspect(flags.format, objects)));
  return status;
}

Status remove(const Client& client, const std::vector<std::string>& names) {
  return for_each_name(names, [&](const std::string& name) -> Status {
    TRY(client.del(object_path("networks", name)));
    fmt::print("{}\n", name);
    return {};
  });
}

}  // namespace

void add_network_commands(CLI::App& app, Cli& cli) {
  CLI::App* group = add_group(app, "network", "Private networks of containers over all hosts");

  auto made = std::make_shared<CreateFlags>();
  CLI::App* command = group->add_subcommand("create", "Make a network");
  command->add_option("-d,--driver", made->driver, "overlay, the only one")->capture_default_str();
  command->add_option("--scope", made->scope, "swarm, the only one")->capture_default_str();
  add_list(*command, "--subnet", made->subnets, "CIDR; otherwise cut from the cluster's pool");
  add_list(*command, "--gateway", made->gateways, "the subnet's first address, the only choice");
  add_list(*command, "--ip-range", made->ranges, "refused: addresses are taken from all of the subnet");
  add_list(*command, "--label", made->labels, "KEY=VALUE");
  add_list(*command, "-o,--opt", made->options, "KEY=VALUE for the driver");
  command->add_flag("--internal", made->internal, "no way out of the cluster");
  command->add_flag("--attachable", made->attachable, "also for containers that are no tasks");
  command->add_flag("--ipv6", made->ipv6, "IPv6 too");
  command->add_flag("--ingress", made->ingress, "the network of published ports");
  command->add_option("NETWORK", made->name, "its name")->required();
  set_action(*command, cli, [made](const Client& client) { return create(client, *made); });

  auto ls = std::make_shared<ListFlags>();
  command = group->add_subcommand("ls", "List networks")->alias("list");
  add_list_flags(*command, *ls);
  set_action(*command, cli, [ls](const Client& client) { return list(client, *ls); });

  auto shown = std::make_shared<InspectFlags>();
  command = group->add_subcommand("inspect", "Show networks in full");
  add_names(*command, "NETWORK", shown->names, "name or id");
  command->add_option("-f,--format", shown->format, "Go template");
  command->add_flag("-v,--verbose", shown->verbose, "with the services on it");
  set_action(*command, cli, [shown](const Client& client) { return inspect(client, *shown); });

  auto removed = std::make_shared<std::vector<std::string>>();
  command = group->add_subcommand("rm", "Remove networks that no service uses")->alias("remove");
  add_names(*command, "NETWORK", *removed, "name or id");
  set_action(*command, cli, [removed](const Client& client) { return remove(client, *removed); });
}

}  // namespace mesh::meshctl
