#include "control/meshd/options.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "base/address.h"
#include "base/file.h"
#include "base/text.h"

namespace mesh::meshd {
namespace {

constexpr std::array kSettings{
    Setting{"data-dir", &Options::data_dir, "state of this node: identity, store, images, containers"},
    Setting{"runtime-dir", &Options::runtime_dir, "what a boot of the host empties"},
    Setting{"socket", &Options::socket, "unix socket of the API"},
    Setting{"listen", &Options::listen, "address and port for the cluster, ADDRESS:PORT"},
    Setting{"advertise-addr", &Options::advertise_addr, "this host's address in the cluster, ADDRESS[:PORT]"},
    Setting{
        "uplink", &Options::uplink,
        "interfaces that carry client and tunnel traffic, NAME[,NAME...]; empty: the one with advertise-addr, those of "
        "the default route and of the routes to other hosts"},
    Setting{"uplink-mode", &Options::uplink_mode, "auto, xdp or tc; auto: what is right for the driver"},
    Setting{"cgroup-root", &Options::cgroup_root, "cgroup below which containers live and hooks are attached"},
    Setting{"registry-mirror", &Options::registry_mirror,
            "[https://]HOST[:PORT] of a mirror of docker.io; without https:// its certificate is not checked"},
    Setting{
        "metrics-addr", &Options::metrics_addr,
        "address and port for /metrics, ADDRESS:PORT; readable by everybody who reaches it. Empty: only on the socket"},
    Setting{"log-level", &Options::log_level, "trace, debug, info, warn or error"},
};

std::string environment_name(std::string_view setting) {
  std::string name = "MESHD_";
  for (const char c : setting) name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

using Values = std::map<std::string, std::string>;

std::optional<std::string> variable_of(std::string_view setting, const std::vector<std::string>& environment) {
  const std::string start = environment_name(setting) + "=";
  const auto found = std::ranges::find_if(environment, [&](const auto& entry) { return entry.starts_with(start); });
  if (found == environment.end()) return std::nullopt;
  return found->substr(start.size());
}

Result<Values> read_yaml(const std::string& path) {
  const std::string text = TRY_IN("--config", read_file(path, 1U << 20U));
  Values values;
  try {
    const YAML::Node root = YAML::Load(text);
    if (root.IsNull()) return values;
    if (!root.IsMap()) return fail(ErrorKind::kInvalid, path + ": expected lines of the form \"key: value\"");
    for (const auto& entry : root) {
      const std::string where = fmt::format("{}:{}", path, entry.first.Mark().line + 1);
      const auto key = entry.first.as<std::string>();
      const auto same = [&](const Setting& setting) { return setting.name == key; };
      if (std::ranges::none_of(kSettings, same)) {
        return fail(ErrorKind::kInvalid, fmt::format("{}: unknown key \"{}\"; meshd --help lists them", where, key));
      }
      if (!entry.second.IsScalar()) {
        return fail(ErrorKind::kInvalid, fmt::format("{}: {}: expected one value", where, key));
      }
      if (values.contains(key)) return fail(ErrorKind::kInvalid, fmt::format("{}: {} is set twice", where, key));
      values[key] = entry.second.as<std::string>();
    }
  } catch (const YAML::Exception& error) {
    return fail(ErrorKind::kInvalid, fmt::format("{}:{}: {}", path, error.mark.line + 1, error.msg));
  }
  return values;
}

Status check_mirror(const std::string& mirror) {
  std::string_view host = mirror;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (mirror.starts_with(scheme)) host.remove_prefix(scheme.size());
  }
  const auto is_part = [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_'; };
  const std::size_t colon = host.rfind(':');
  bool good = SocketAddress::parse(host, 443).has_value();
  if (!good) {
    const auto port = colon == std::string_view::npos ? 443 : parse_number<std::uint16_t>(host.substr(colon + 1));
    const std::string_view name = host.substr(0, colon);
    good = !name.empty() && std::ranges::all_of(name, is_part) && port.value_or(0) != 0;
  }
  if (good) return {};
  return fail(ErrorKind::kInvalid, fmt::format("registry-mirror: \"{}\" is not HOST[:PORT], http://HOST[:PORT] or "
                                               "https://HOST[:PORT]",
                                               mirror));
}

Status check(const Options& options) {
  const auto one_of = [](const std::string& value, std::initializer_list<std::string_view> allowed) {
    return std::ranges::find(allowed, value) != allowed.end();
  };
  if (!one_of(options.uplink_mode, {"auto", "xdp", "tc"})) {
    return fail(ErrorKind::kInvalid, "uplink-mode: \"" + options.uplink_mode + "\" is not auto, xdp or tc");
  }
  if (!one_of(options.log_level, {"trace", "debug", "info", "warn", "error"})) {
    return fail(ErrorKind::kInvalid,
                "log-level: \"" + options.log_level + "\" is not trace, debug, info, warn or error");
  }
  TRY_IN("listen", SocketAddress::parse(options.listen, kClusterPort));
  if (!options.advertise_addr.empty())
    TRY_IN("advertise-addr", SocketAddress::parse(options.advertise_addr, kClusterPort));
  if (!options.metrics_addr.empty()) TRY_IN("metrics-addr", SocketAddress::parse(options.metrics_addr));
  if (!options.registry_mirror.empty()) TRY(check_mirror(options.registry_mirror));
  for (const Setting& path : kSettings) {
    const std::string_view name = path.name;
    if (!one_of(std::string(name), {"data-dir", "runtime-dir", "socket"})) continue;
    if (!(options.*(path.value)).starts_with('/')) {
      return fail(ErrorKind::kInvalid, fmt::format("{}: \"{}\" is not an absolute path", name, options.*(path.value)));
    }
  }
  return {};
}

}  // namespace

std::span<const Setting> settings() { return kSettings; }

Result<CommandLine> read_options(const std::vector<std::string>& arguments,
                                 const std::vector<std::string>& environment) {
  CLI::App app("meshd: one cluster of hosts with an eBPF routing mesh", "meshd");
  CommandLine line;
  Options& options = line.options;
  std::array<std::string, kSettings.size()> flags;
  std::array<CLI::Option*, kSettings.size()> given{};
  for (std::size_t i = 0; i < kSettings.size(); ++i) {
    const Setting& setting = kSettings[i];
    const std::string help =
        fmt::format("{} ({}; default \"{}\")", setting.help, environment_name(setting.name), options.*(setting.value));
    given[i] = app.add_option(std::string("--") + setting.name, flags[i], help);
  }
  app.add_option("--config", options.config,
                 "YAML file with the settings above, one \"key: value\" a line (MESHD_CONFIG)");
  app.add_flag("--cleanup", options.cleanup, "remove every trace of meshd from this host; it must not be running");
  app.set_version_flag("--version", fmt::format("meshd {}", kVersion));
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants them
    app.parse(std::move(reversed));
  } catch (const CLI::CallForVersion&) {
    line.answer = fmt::format("meshd {}\n", kVersion);
    return line;
  } catch (const CLI::CallForHelp&) {
    line.answer = app.help();
    return line;
  } catch (const CLI::ParseError& error) {
    return fail(ErrorKind::kInvalid, std::string(error.what()) + "; meshd --help lists the flags");
  }
  if (options.config.empty()) options.config = variable_of("config", environment).value_or("");
  const Values from_file = options.config.empty() ? Values{} : TRY(read_yaml(options.config));
  for (std::size_t i = 0; i < kSettings.size(); ++i) {
    std::string& value = options.*(kSettings[i].value);
    if (const auto found = from_file.find(kSettings[i].name); found != from_file.end()) value = found->second;
    if (const auto found = variable_of(kSettings[i].name, environment)) value = *found;
    if (given[i]->count() > 0) value = flags[i];
  }
  TRY(check(options));
  return line;
}

}  // namespace mesh::meshd
