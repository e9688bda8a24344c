#include "control/meshctl/parse.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "base/text.h"
#include "control/model/mesh_options.h"

namespace mesh::meshctl {
namespace {

using model::PortConfig;
using model::PortProtocol;
using model::PublishMode;

std::unexpected<Error> bad(std::string_view what, std::string_view text, std::string_view why) {
  return fail(ErrorKind::kInvalid, fmt::format("{} \"{}\": {}", what, text, why));
}

// "key=value,key=value"; a part without "=" has an empty value.
std::vector<std::pair<std::string_view, std::string_view>> fields_of(std::string_view text) {
  std::vector<std::pair<std::string_view, std::string_view>> fields;
  for (const auto part : split(text, ',')) {
    const auto equals = part.find('=');
    const auto value = equals == std::string_view::npos ? std::string_view{} : part.substr(equals + 1);
    fields.emplace_back(trim(part.substr(0, equals)), trim(value));
  }
  return fields;
}

struct PortRange {
  std::uint16_t first = 0, last = 0;
  int size() const { return last - first + 1; }
};

Result<PortRange> parse_range(std::string_view whole, std::string_view text) {
  const auto dash = text.find('-');
  const auto first = parse_number<std::uint16_t>(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_number<std::uint16_t>(text.substr(dash + 1));
  if (!first || !last || *first == 0) {
    return bad("port", whole, fmt::format("\"{}\" is no port; ports are 1 to 65535", text));
  }
  if (*last < *first) return bad("port", whole, fmt::format("the range {} ends before it begins", text));
  return PortRange{*first, *last};
}

Result<PortProtocol> parse_protocol(std::string_view whole, std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  const auto protocol = parse_choice<PortProtocol>("protocol", lower);
  if (!protocol) return bad("port", whole, protocol.error().message);
  return *protocol;
}

// Cuts "10.0.0.5:", "[2001:db8::5]:" or "eth1:" off the front of "WHERE:PUBLISHED:TARGET", if it is there.
Status cut_place(std::string_view whole, std::string_view& ports, WantedPorts& wanted) {
  const auto colon = ports.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return {};
  const auto before = ports.rfind(':', colon - 1);
  if (before == std::string_view::npos) return {};
  auto host = ports.substr(0, before);
  ports = ports.substr(before + 1);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!bracketed && model::is_interface_name(host)) {
    wanted.interface = host;
    return {};
  }
  const auto address = IpAddress::parse(host);
  if (!address || bracketed == address->is_v4()) {
    return bad("port", whole,
               "expected ADDRESS:PUBLISHED:TARGET, such as 10.0.0.5:8010:80 or [2001:db8::5]:8010:80, or "
               "INTERFACE:PUBLISHED:TARGET, such as eth1:8010:80");
  }
  wanted.address = *address;
  return {};
}

Result<WantedPorts> short_publish(std::string_view text) {
  auto ports = text;
  auto protocol = PortProtocol::kTcp;
  if (const auto slash = text.find('/'); slash != std::string_view::npos) {
    protocol = TRY(parse_protocol(text, text.substr(slash + 1)));
    ports = text.substr(0, slash);
  }
  WantedPorts wanted;
  TRY(cut_place(text, ports, wanted));
  const auto colon = ports.rfind(':');
  if ((wanted.address || !wanted.interface.empty()) && ports.starts_with(':')) {
    return bad("port", text, "with an address or interface a published port is needed: ADDRESS:PUBLISHED:TARGET");
  }
  const auto target = TRY(parse_range(text, colon == std::string_view::npos ? ports : ports.substr(colon + 1)));
  std::optional<PortRange> published;
  if (colon != std::string_view::npos) published = TRY(parse_range(text, ports.substr(0, colon)));
  if (published && published->size() != target.size()) {
    return bad("port", text, fmt::format("{} published and {} target ports", published->size(), target.size()));
  }
  for (int i = 0; i < target.size(); ++i) {
    PortConfig config;
    config.protocol = protocol;
    config.target_port = static_cast<std::uint16_t>(target.first + i);
    config.published_port = published ? static_cast<std::uint16_t>(published->first + i) : std::uint16_t{0};
    config.publish_mode = PublishMode::kIngress;
    wanted.ports.push_back(config);
  }
  return wanted;
}

Result<WantedPorts> long_publish(std::string_view text) {
  PortConfig config;
  config.protocol = PortProtocol::kTcp;
  config.publish_mode = PublishMode::kIngress;
  for (const auto& [key, value] : fields_of(text)) {
    if (key == "target" || key == "published") {
      const auto port = parse_number<std::uint16_t>(value);
      const bool random = key == "published" && port == 0;
      if (!port || (*port == 0 && !random)) return bad("port", text, fmt::format("{}={}: no port", key, value));
      (key == "target" ? config.target_port : config.published_port) = *port;
    } else if (key == "protocol") {
      config.protocol = TRY(parse_protocol(text, value));
    } else if (key == "mode") {
      const auto mode = parse_choice<PublishMode>("mode", value);
      if (!mode) return bad("port", text, mode.error().message);
      config.publish_mode = *mode;
    } else {
      return bad("port", text, fmt::format("\"{}\" is not one of target, published, protocol, mode", key));
    }
  }
  if (config.target_port == 0) return bad("port", text, "target=PORT is missing");
  return WantedPorts{{config}, std::nullopt, {}};
}

}  // namespace

Result<WantedPorts> parse_publish(std::string_view text) {
  return text.find('=') == std::string_view::npos ? short_publish(text) : long_publish(text);
}

Result<PortConfig> parse_published(std::string_view text) {
  PortConfig port;
  port.protocol = PortProtocol::kTcp;
  auto number = text;
  if (const auto slash = text.find('/'); slash != std::string_view::npos) {
    port.protocol = TRY(parse_protocol(text, text.substr(slash + 1)));
    number = text.substr(0, slash);
  }
  const auto range = TRY(parse_range(text, number));
  if (range.size() != 1) return bad("port", text, "one published port is expected");
  port.published_port = range.first;
  return port;
}

Result<std::int64_t> parse_cpus(std::string_view text) {
  const std::string number(text);
  char* end = nullptr;
  const double cpus = std::strtod(number.c_str(), &end);
  const bool plain = number.find_first_not_of("0123456789.") == std::string::npos;
  if (number.empty() || !plain || *end != '\0' || cpus > 1e6) {
    return bad("CPUs", text, "expected a number such as 0.5 or 2");
  }
  return std::llround(cpus * 1e9);
}

Result<std::int64_t> parse_bytes(std::string_view text) {
  const auto unit_begin = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string number(text.substr(0, unit_begin));
  std::string unit;
  for (const char c : trim(text.substr(unit_begin))) unit += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  constexpr std::string_view kUnits = "bkmgt";
  char* end = nullptr;
  const double value = std::strtod(number.c_str(), &end);
  const auto power = unit.empty() ? 0 : kUnits.find(unit[0]);
  const bool known = unit.size() < 2 || unit.substr(1) == "b" || unit.substr(1) == "ib";
  if (number.empty() || *end != '\0' || power == std::string_view::npos || !known || (power == 0 && unit.size() > 1)) {
    return bad("size", text, "expected a number with b, k, m, g or t, such as 64m");
  }
  const double bytes = std::ldexp(value, static_cast<int>(10 * power));
  if (bytes >= 9e18) return bad("size", text, "too large");
  return static_cast<std::int64_t>(bytes);
}

std::pair<std::string, std::string> parse_label(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos) return {std::string(text), ""};
  return {std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

Result<model::NetworkAttachmentConfig> parse_network(std::string_view text) {
  model::NetworkAttachmentConfig network;
  if (text.find('=') == std::string_view::npos) {
    network.target = std::string(text);
    return network;
  }
  for (const auto& [key, value] : fields_of(text)) {
    if (key == "name") {
      network.target = std::string(value);
    } else if (key == "alias") {
      network.aliases.emplace_back(value);
    } else if (key == "driver-opt") {
      network.driver_opts.insert(parse_label(value));
    } else {
      return bad("network", text, fmt::format("\"{}\" is not one of name, alias, driver-opt", key));
    }
  }
  if (network.target.empty()) return bad("network", text, "name=NETWORK is missing");
  return network;
}

Result<model::Mount> parse_mount(std::string_view text) {
  model::Mount mount;
  mount.type = "volume";
  for (const auto& [key, value] : fields_of(text)) {
    if (key == "type") {
      mount.type = std::string(value);
    } else if (key == "source" || key == "src") {
      mount.source = std::string(value);
    } else if (key == "target" || key == "dst" || key == "destination") {
      mount.target = std::string(value);
    } else if (key == "readonly" || key == "ro") {
      if (!value.empty() && value != "true" && value != "1" && value != "false" && value != "0") {
        return bad("mount", text, fmt::format("{}={}: expected true or false", key, value));
      }
      mount.read_only = value != "false" && value != "0";
    } else {
      return bad("mount", text, fmt::format("\"{}\" is not one of type, source, target, readonly", key));
    }
  }
  if (mount.target.empty()) return bad("mount", text, "target=PATH is missing");
  return mount;
}

Result<model::PlacementPreference> parse_preference(std::string_view text) {
  const auto [key, value] = parse_label(text);
  if (key != "spread" || value.empty()) return bad("placement preference", text, "expected spread=KEY");
  model::PlacementPreference preference;
  preference.spread = model::SpreadOver{value};
  return preference;
}

Result<std::pair<std::string, std::string>> parse_filter(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return bad("filter", text, "expected NAME=VALUE");
  return std::pair{std::string(trim(text.substr(0, equals))), std::string(trim(text.substr(equals + 1)))};
}

Result<std::string> parse_filters(const std::vector<std::string>& texts) {
  if (texts.empty()) return std::string();
  std::map<std::string, std::vector<std::string>> filters;
  for (const auto& text : texts) {
    auto [name, value] = TRY(parse_filter(text));
    filters[name].push_back(value);
  }
  return to_text(encode(filters));
}

Result<std::pair<std::string, std::uint64_t>> parse_scale(std::string_view text) {
  const auto equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0) return bad("scale", text, "expected SERVICE=REPLICAS");
  const auto replicas = parse_number<std::uint64_t>(text.substr(equals + 1));
  if (!replicas) return bad("scale", text, fmt::format("\"{}\" is no number of replicas", text.substr(equals + 1)));
  return std::pair{std::string(text.substr(0, equals)), *replicas};
}

Result<std::vector<std::string>> split_shell_words(std::string_view text) {
  std::vector<std::string> words;
  std::optional<std::string> word;
  char quote = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      word = word.value_or("") + text[++i];
    } else if (quote != '\0') {
      if (c == quote) {
        quote = '\0';
      } else {
        *word += c;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
      word = word.value_or("");
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (word) words.push_back(*std::exchange(word, std::nullopt));
    } else {
      word = word.value_or("") + c;
    }
  }
  if (quote != '\0') return bad("command", text, "a quote has no end");
  if (word) words.push_back(*word);
  return words;
}

Result<std::vector<std::string>> parse_env_file(std::string_view content) {
  std::vector<std::string> variables;
  for (auto line : split(content, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    if (line.empty() || line.starts_with('#')) continue;
    const auto name = line.substr(0, line.find('='));
    if (name.empty() || name.find_first_of(" \t") != std::string_view::npos) {
      return bad("environment file line", line, "expected NAME=VALUE");
    }
    variables.emplace_back(line);
  }
  return variables;
}

}  // namespace mesh::meshctl
