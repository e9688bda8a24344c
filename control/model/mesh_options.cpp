#include "control/model/mesh_options.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "base/text.h"
#include "control/model/service.h"

namespace mesh::model {
namespace {

constexpr std::string_view kPortPrefix = "mesh.port.";

std::unexpected<Error> bad(std::string_view label, std::string_view value, std::string_view why) {
  return fail(ErrorKind::kInvalid, fmt::format("label {}=\"{}\": {}", label, value, why));
}

Result<std::uint32_t> parse_affinity(const std::string& label, const std::string& value) {
  constexpr std::string_view kClientIp = "client-ip";
  const std::string_view text(value);
  if (text == kClientIp) {
    return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(kAffinityDefault).count());
  }
  if (!text.starts_with(kClientIp) || text[kClientIp.size()] != ':') {
    return bad(label, value, "write client-ip, or client-ip:DURATION such as client-ip:30m");
  }
  const auto duration = parse_duration(text.substr(kClientIp.size() + 1));
  if (!duration) return bad(label, value, duration.error().message);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*duration);
  if (*duration < std::chrono::seconds(1) || *duration > kAffinityMax || *duration != seconds) {
    return bad(label, value, "the duration must be whole seconds, from 1s to 24h");
  }
  return static_cast<std::uint32_t>(seconds.count());
}

Result<std::string> parse_weight_label(const std::string& label, const std::string& value) {
  const bool blank = std::ranges::any_of(value, [](char c) { return c == ' ' || c == '\t' || c == '='; });
  if (value.empty() || blank) {
    return bad(label, value, "write the name of a node label, such as capacity; its value on a node is the weight");
  }
  constexpr std::string_view kConstraintPrefix = "node.labels.";
  if (value.starts_with(kConstraintPrefix)) {
    return bad(label, value,
               fmt::format("write the name of the node label alone: {}", value.substr(kConstraintPrefix.size())));
  }
  return value;
}

// The parts of a comma separated value, none of them empty.
Result<std::vector<std::string_view>> list_of(const std::string& label, const std::string& value, std::string_view of) {
  std::vector<std::string_view> parts = split(value, ',');
  for (std::string_view& part : parts) {
    part = trim(part);
    if (part.empty()) {
      return bad(label, value, fmt::format("write {}, separated by commas, or remove the label", of));
    }
  }
  return parts;
}

template <class T>
void sort_unique(std::vector<T>& values) {
  std::ranges::sort(values);
  const auto doubles = std::ranges::unique(values);
  values.erase(doubles.begin(), doubles.end());
}

Result<Cidr> parse_client(std::string_view text) {
  if (text.find('/') != std::string_view::npos) return Cidr::parse(text);
  const IpAddress host = TRY(IpAddress::parse(text));
  return Cidr{host, static_cast<std::uint8_t>(host.is_v4() ? 32 : 128)};
}

Result<std::vector<Cidr>> parse_allow(const std::string& label, const std::string& value) {
  std::vector<Cidr> allow;
  for (const std::string_view part : TRY(list_of(label, value, "clients such as 192.0.2.0/24 or 2001:db8::7"))) {
    const auto client = parse_client(part);
    if (!client) return bad(label, value, client.error().message);
    allow.push_back(*client);
  }
  sort_unique(allow);
  if (allow.size() > kAllowMax) {
    return bad(
        label, value,
        fmt::format("{} prefixes are over the limit of {} for one port; use shorter ones", allow.size(), kAllowMax));
  }
  return allow;
}

Result<std::vector<IpAddress>> parse_addresses(const std::string& label, const std::string& value) {
  std::vector<IpAddress> addresses;
  for (const std::string_view part : TRY(list_of(label, value, "addresses of hosts such as 10.0.0.5"))) {
    const auto address = IpAddress::parse(part);
    if (!address) return bad(label, value, address.error().message);
    if (address->is_unspecified()) {
      return bad(label, value, "to answer on every address, remove the label");
    }
    if (address->is_loopback()) {
      return bad(label, value,
                 fmt::format("{} is no address that other hosts can reach: published ports answer on addresses of the "
                             "hosts' uplinks",
                             part));
    }
    addresses.push_back(*address);
  }
  sort_unique(addresses);
  if (addresses.size() > kPortAddressMax) {
    return bad(label, value, fmt::format("{} addresses are over the limit of {}", addresses.size(), kPortAddressMax));
  }
  return addresses;
}

Result<std::vector<std::string>> parse_interfaces(const std::string& label, const std::string& value) {
  std::vector<std::string> interfaces;
  for (const std::string_view part : TRY(list_of(label, value, "interfaces of hosts such as eth1"))) {
    if (!is_interface_name(part)) {
      return bad(label, value, fmt::format("\"{}\" is no interface's name; write one such as eth1 or bond0.5", part));
    }
    interfaces.emplace_back(part);
  }
  sort_unique(interfaces);
  if (interfaces.size() > kPortAddressMax) {
    return bad(label, value, fmt::format("{} interfaces are over the limit of {}", interfaces.size(), kPortAddressMax));
  }
  return interfaces;
}

constexpr std::array<std::string_view, 4> kPortOptions = {"allow", "address", "interface", "on"};

struct PortLabel {
  PublishedPort port;
  std::string_view option;
};

// "mesh.port.8010/tcp.allow".
Result<PortLabel> parse_port_label(const std::string& label) {
  const std::string_view rest = std::string_view(label).substr(kPortPrefix.size());
  const std::size_t slash = rest.find('/');
  const std::size_t dot = rest.find('.', slash == std::string_view::npos ? rest.size() : slash);
  if (dot != std::string_view::npos) {
    const auto number = parse_number<std::uint16_t>(rest.substr(0, slash));
    const std::string_view protocol = rest.substr(slash + 1, dot - slash - 1);
    const std::string_view option = rest.substr(dot + 1);
    for (const auto& [value, name] : json_names(static_cast<const PortProtocol*>(nullptr))) {
      const bool known = value != PortProtocol::kUnset && protocol == name && number.value_or(0) != 0 &&
                         rest.substr(0, slash) == std::to_string(*number);
      if (known && std::ranges::find(kPortOptions, option) != kPortOptions.end()) {
        return PortLabel{{value, *number}, option};
      }
    }
  }
  return fail(ErrorKind::kInvalid,
              fmt::format("label {} is not known: options of a published port are mesh.port.PORT/PROTOCOL.allow, "
                          ".address, .interface and .on, such as mesh.port.8010/tcp.allow",
                          label));
}

Status read_port_option(MeshOptions& options, const std::string& label, const std::string& value) {
  const PortLabel parsed = TRY(parse_port_label(label));
  PortOptions& port = options.ports[parsed.port];
  if (parsed.option == "allow") {
    port.allow = TRY(parse_allow(label, value));
  } else if (parsed.option == "address") {
    port.addresses = TRY(parse_addresses(label, value));
  } else if (parsed.option == "interface") {
    port.interfaces = TRY(parse_interfaces(label, value));
  } else {
    for (const std::string_view part :
         TRY(list_of(label, value, "placement constraints such as node.labels.edge==true"))) {
      port.on.emplace_back(part);
    }
  }
  return {};
}

Status read_option(MeshOptions& options, const std::string& label, const std::string& value) {
  if (label == kReturnLabel) {
    if (value != "tunnel" && value != "dsr") return bad(label, value, "write tunnel or dsr");
    options.return_mode = value == "dsr" ? ReturnMode::kDsr : ReturnMode::kTunnel;
  } else if (label == kAffinityLabel) {
    options.affinity_seconds = TRY(parse_affinity(label, value));
  } else if (label == kPreferLabel) {
    if (value != "local") return bad(label, value, "write local, or remove the label");
    options.prefer_local = true;
  } else if (label == kWeightLabel) {
    options.weight_label = TRY(parse_weight_label(label, value));
  } else if (label.starts_with(kPortPrefix)) {
    return read_port_option(options, label, value);
  } else {
    // A misspelt option that had no effect would be found out by a client that was let in.
    return fail(ErrorKind::kInvalid,
                fmt::format("label {} is not known: labels that begin with mesh. are options of the mesh, which are "
                            "mesh.return, mesh.affinity, mesh.prefer, mesh.weight and mesh.port.PORT/PROTOCOL.allow, "
                            ".address, .interface and .on",
                            label));
  }
  return {};
}

}  // namespace

Result<MeshOptions> parse_mesh_options(const Labels& labels) {
  MeshOptions options;
  for (auto entry = labels.lower_bound(std::string(kMeshLabelPrefix));
       entry != labels.end() && entry->first.starts_with(kMeshLabelPrefix); ++entry) {
    TRY(read_option(options, entry->first, entry->second));
  }
  if (options.prefer_local && options.affinity_seconds != 0) {
    return fail(ErrorKind::kInvalid,
                "labels mesh.prefer and mesh.affinity exclude each other: a client keeps its backend whichever host it "
                "enters by, and local preference chooses the backend by that host; remove one of them");
  }
  return options;
}

std::string port_label(const PublishedPort& port, std::string_view option) {
  return fmt::format("{}{}.{}", kPortPrefix, port_name(port), option);
}

void remove_port_labels(Labels& labels, const PublishedPort& port) {
  const std::string prefix = port_label(port, "");
  std::erase_if(labels, [&](const auto& label) { return label.first.starts_with(prefix); });
}

bool answers(const PortRow& row, std::uint16_t node_number, const std::vector<IpAddress>& addresses,
             const std::vector<std::string>& interfaces) {
  if (row.entry_nodes && !std::ranges::binary_search(*row.entry_nodes, node_number)) return false;
  if (row.addresses.empty() && row.interfaces.empty()) return true;
  return std::ranges::find_first_of(row.addresses, addresses) != row.addresses.end() ||
         std::ranges::find_first_of(row.interfaces, interfaces) != row.interfaces.end();
}

bool is_interface_name(std::string_view text) {
  constexpr std::size_t kNameMax = 15;  // IFNAMSIZ with its end
  const auto letter = [](unsigned char c) { return std::isalpha(c) != 0; };
  const auto fits = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || c == '@';
  };
  return text.size() <= kNameMax && std::ranges::any_of(text, letter) && std::ranges::all_of(text, fits);
}

std::optional<std::uint16_t> weight_of(const Labels& node_labels, const std::string& weight_label) {
  const auto label = node_labels.find(weight_label);
  if (weight_label.empty() || label == node_labels.end()) return std::uint16_t{1};
  const auto weight = parse_number<std::uint16_t>(label->second);
  if (!weight || *weight == 0 || *weight > kWeightMax) return std::nullopt;
  return weight;
}

}  // namespace mesh::model
