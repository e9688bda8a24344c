// meshctl swarm …
#include <algorithm>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "control/meshctl/calls.h"
#include "control/meshctl/cli.h"
#include "control/meshctl/parse.h"
#include "control/meshctl/wait_notice.h"

namespace mesh::meshctl {
namespace {

// Settings of a cluster; absent: as they are.
struct UpdateFlags {
  std::optional<std::string> cert_expiry, heartbeat;
  std::optional<std::int64_t> history_limit;
};

struct InitFlags {
  std::string advertise, listen, data_path, availability = "active";
  std::vector<std::string> pools;
  std::uint32_t mask_length = 24, data_path_port = 0;
  UpdateFlags settings;
  bool force_new_cluster = false;
};

struct JoinFlags {
  std::string token, advertise, listen, data_path, availability = "active", remote;
};

struct TokenFlags {
  std::string role;
  bool quiet = false, rotate = false;
};

struct LeaveFlags {
  bool force = false;
};

// The address at which other hosts reach this manager.
Result<std::string> join_address(const Client& client) {
  const auto info = TRY(swarm_info(client));
  const auto self = std::ranges::find(info.remote_managers, info.node_id, &RemoteManager::node_id);
  return self == info.remote_managers.end() ? info.node_addr + ":2377" : self->addr;
}

Result<model::JoinTokens> join_tokens(const Client& client) {
  const auto cluster = TRY(get_as<model::Cluster>(client, path("/swarm")));
  if (!cluster.join_tokens) return fail(ErrorKind::kInternal, "meshd told no join tokens");
  return *cluster.join_tokens;
}

std::string join_command(const std::string& token, const std::string& address) {
  return fmt::format("    meshctl swarm join --token {} {}\n\n", token, address);
}

Status change_spec(model::ClusterSpec& spec, const UpdateFlags& flags) {
  if (flags.history_limit) spec.orchestration.task_history_retention_limit = flags.history_limit;
  if (flags.cert_expiry) spec.ca_config.node_cert_expiry = TRY_IN("--cert-expiry", parse_duration(*flags.cert_expiry));
  if (flags.heartbeat) {
    spec.dispatcher.heartbeat_period = TRY_IN("--dispatcher-heartbeat", parse_duration(*flags.heartbeat));
  }
  return {};
}

Status init(const Client& client, const InitFlags& flags) {
  model::ClusterSpec spec;
  TRY(change_spec(spec, flags.settings));
  TRY(parse_choice<model::Availability>("--availability", flags.availability));
  const JsonObject body{{"ListenAddr", flags.listen},
                        {"AdvertiseAddr", flags.advertise},
                        {"DataPathAddr", flags.data_path},
                        {"DataPathPort", flags.data_path_port},
                        {"DefaultAddrPool", encode(flags.pools)},
                        {"SubnetSize", flags.mask_length},
                        {"ForceNewCluster", flags.force_new_cluster},
                        {"AutoLockManagers", false},
                        {"Availability", flags.availability},
                        {"Spec", encode(spec)}};
  const auto node_id = TRY(decode<std::string>(TRY(client.post(path("/swarm/init"), body))));
  fmt::print("Swarm initialized: current node ({}) is now a manager.\n\n", node_id);
  fmt::print("To add a worker, run on its host:\n\n{}",
             join_command(TRY(join_tokens(client)).worker, TRY(join_address(client))));
  return {};
}

Status join(const Client& client, const JoinFlags& flags) {
  TRY(parse_choice<model::Availability>("--availability", flags.availability));
  const JsonObject body{
      {"ListenAddr", flags.listen},      {"AdvertiseAddr", flags.advertise},
      {"DataPathAddr", flags.data_path}, {"RemoteAddrs", JsonArray{Json(boost::json::string(flags.remote))}},
      {"JoinToken", flags.token},        {"Availability", flags.availability}};
  const WaitNotice notice("the manager at " + flags.remote);
  TRY(client.post(path("/swarm/join"), body));
  const auto info = TRY(swarm_info(client));
  fmt::print("This node joined a swarm as a {}.\n", info.control_available ? "manager" : "worker");
  return {};
}

Status update(const Client& client, const UpdateFlags& flags) {
  auto cluster = TRY(get_as<model::Cluster>(client, path("/swarm")));
  TRY(change_spec(cluster.spec, flags));
  TRY(client.post(path("/swarm/update") + fmt::format("?version={}", cluster.version.index), encode(cluster.spec)));
  fmt::print("Swarm updated.\n");
  return {};
}

Status rotate_token(const Client& client, const std::string& role) {
  const auto cluster = TRY(get_as<model::Cluster>(client, path("/swarm")));
  const auto target = path("/swarm/update") + fmt::format("?version={}&rotate{}Token=true", cluster.version.index,
                                                          role == "worker" ? "Worker" : "Manager");
  TRY(client.post(target, encode(cluster.spec)));
  return {};
}

Status join_token(const Client& client, const TokenFlags& flags) {
  if (flags.role != "worker" && flags.role != "manager") {
    return fail(ErrorKind::kInvalid, fmt::format("\"{}\" is no role: expected worker or manager", flags.role));
  }
  if (flags.rotate) {
    TRY(rotate_token(client, flags.role));
    if (!flags.quiet) fmt::print("Successfully rotated {} join token.\n\n", flags.role);
  }
  const auto tokens = TRY(join_tokens(client));
  const auto& token = flags.role == "worker" ? tokens.worker : tokens.manager;
  if (flags.quiet) {
    fmt::print("{}\n", token);
    return {};
  }
  if (flags.role == "manager") {
    fmt::print(
        "This version has one manager; another one is refused. 'meshctl swarm join-token worker' tells how to add "
        "a worker.\n");
    return {};
  }
  fmt::print("To add a {}, run on its host:\n\n{}", flags.role, join_command(token, TRY(join_address(client))));
  return {};
}

Status leave(const Client& client, const LeaveFlags& flags) {
  const WaitNotice notice("the tasks of this host to stop");
  TRY(client.post(path("/swarm/leave") + (flags.force ? "?force=1" : "")));
  fmt::print("Node left the swarm.\n");
  return {};
}

template <class Flags>
void add_address_flags(CLI::App& command, Flags& flags) {
  command.add_option("--advertise-addr", flags.advertise, "IP or INTERFACE[:PORT] that other hosts use");
  command.add_option("--listen-addr", flags.listen, "IP or INTERFACE[:PORT] (as meshd --listen)");
  command.add_option("--data-path-addr", flags.data_path, "refused: containers' traffic uses the advertised address");
  command.add_option("--availability", flags.availability, "active, pause or drain (active)");
}

void add_setting_flags(CLI::App& command, UpdateFlags& flags) {
  command.add_option("--cert-expiry", flags.cert_expiry, "validity of node certificates (2160h)");
  command.add_option("--dispatcher-heartbeat", flags.heartbeat, "period of heartbeats (5s)");
  command.add_option("--task-history-limit", flags.history_limit, "tasks kept per slot (5)");
}

}  // namespace

void add_swarm_commands(CLI::App& app, Cli& cli) {
  CLI::App* group = add_group(app, "swarm", "Make, enter and leave a cluster");

  auto made = std::make_shared<InitFlags>();
  CLI::App* command = group->add_subcommand("init", "Make a cluster with this node as its manager");
  add_address_flags(*command, *made);
  add_list(*command, "--default-addr-pool", made->pools, "CIDR that networks are cut from (10.0.0.0/8)");
  command->add_option("--default-addr-pool-mask-length", made->mask_length, "prefix length of each network (24)");
  command->add_option("--data-path-port", made->data_path_port, "UDP port of VXLAN (4789)");
  add_setting_flags(*command, made->settings);
  command->add_flag("--force-new-cluster", made->force_new_cluster, "refused: this version has one manager");
  set_action(*command, cli, [made](const Client& client) { return init(client, *made); });

  auto joined = std::make_shared<JoinFlags>();
  command = group->add_subcommand("join", "Enter a cluster");
  add_address_flags(*command, *joined);
  command->add_option("--token", joined->token, "as 'swarm join-token' on a manager tells")->required();
  command->add_option("HOST:PORT", joined->remote, "of a manager")->required();
  set_action(*command, cli, [joined](const Client& client) { return join(client, *joined); });

  auto token = std::make_shared<TokenFlags>();
  command = group->add_subcommand("join-token", "Tell how to join");
  command->add_option("ROLE", token->role, "worker or manager")->required();
  command->add_flag("-q,--quiet", token->quiet, "the token alone");
  command->add_flag("--rotate", token->rotate, "make a new one; the old is refused from then on");
  set_action(*command, cli, [token](const Client& client) { return join_token(client, *token); });

  auto changed = std::make_shared<UpdateFlags>();
  command = group->add_subcommand("update", "Change the cluster's settings");
  add_setting_flags(*command, *changed);
  set_action(*command, cli, [changed](const Client& client) { return update(client, *changed); });

  auto left = std::make_shared<LeaveFlags>();
  command = group->add_subcommand("leave", "Leave the cluster; what ran here for it is stopped");
  command->add_flag("-f,--force", left->force, "also a manager; the last one takes the cluster's state with it");
  set_action(*command, cli, [left](const Client& client) { return leave(client, *left); });
}

}  // namespace mesh::meshctl
