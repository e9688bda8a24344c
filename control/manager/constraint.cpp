#include "control/manager/constraint.h"

#include <algorithm>
#include <array>
#include <strings.h>

#include <fmt/format.h>

#include "base/text.h"

namespace mesh::manager {
namespace {

bool same_text(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

// x86_64 and amd64, aarch64 and arm64 are the same machine (GOARCH against uname).
std::string_view normal_architecture(std::string_view architecture) {
  if (same_text(architecture, "x86_64")) return "amd64";
  if (same_text(architecture, "aarch64")) return "arm64";
  return architecture;
}

bool label_is(const model::Labels& labels, const std::string& key, std::string_view value) {
  const auto found = labels.find(key);
  return same_text(found == labels.end() ? std::string_view{} : std::string_view(found->second), value);
}

bool address_is(const IpAddress& address, const std::string& value) {
  if (const auto prefix = Cidr::parse(value)) return prefix->contains(address);
  const auto single = IpAddress::parse(value);
  return single && *single == address;
}

bool equals(const model::Node& node, const std::string& key, const std::string& value) {
  const model::Platform& platform = node.description.platform;
  if (key == "node.id") return same_text(node.id, value);
  if (key == "node.hostname") return same_text(node.description.hostname, value);
  if (key == "node.role") {
    return same_text(node.spec.role == model::NodeRole::kManager ? "manager" : "worker", value);
  }
  if (key == "node.ip") return node.mesh && address_is(node.mesh->address, value);
  if (key == "node.platform.os") return same_text(platform.os, value);
  if (key == "node.platform.arch") {
    return same_text(normal_architecture(platform.architecture), normal_architecture(value));
  }
  if (key.starts_with("node.labels.")) return label_is(node.spec.labels, key.substr(12), value);
  return label_is(node.description.engine.labels, key.substr(14), value);
}

}  // namespace

bool is_known_key(std::string_view key) {
  constexpr std::array<std::string_view, 6> kKeys{"node.id", "node.hostname",    "node.role",
                                                  "node.ip", "node.platform.os", "node.platform.arch"};
  return std::ranges::find(kKeys, key) != kKeys.end() || key.starts_with("node.labels.") ||
         key.starts_with("engine.labels.");
}

Result<Constraint> parse_constraint(std::string_view text) {
  for (const std::string_view sign : {"==", "!="}) {
    const std::size_t at = text.find(sign);
    if (at == std::string_view::npos) continue;
    Constraint result{std::string(trim(text.substr(0, at))), sign == "==", std::string(trim(text.substr(at + 2)))};
    if (result.key.empty() || result.value.empty()) break;
    return result;
  }
  return fail(ErrorKind::kInvalid,
              fmt::format("constraint \"{}\" is not KEY==VALUE or KEY!=VALUE; keys are {}", text, kConstraintKeys));
}

bool satisfies(const model::Node& node, const Constraint& constraint) {
  return is_known_key(constraint.key) && equals(node, constraint.key, constraint.value) == constraint.equal;
}

bool satisfies_all(const model::Node& node, const std::vector<std::string>& constraints) {
  return std::ranges::all_of(constraints, [&](const std::string& text) {
    const auto constraint = parse_constraint(text);
    return constraint && satisfies(node, *constraint);
  });
}

bool satisfies_constraints(const model::Node& node, const model::TaskSpec& spec) {
  return !spec.placement || satisfies_all(node, spec.placement->constraints);
}

bool satisfies_platform(const model::Node& node, const model::TaskSpec& spec) {
  if (!spec.placement || spec.placement->platforms.empty()) return true;
  const model::Platform& have = node.description.platform;
  return std::ranges::any_of(spec.placement->platforms, [&](const model::Platform& want) {
    return (want.os.empty() || same_text(want.os, have.os)) &&
           (want.architecture.empty() ||
            same_text(normal_architecture(want.architecture), normal_architecture(have.architecture)));
  });
}

bool satisfies(const model::Node& node, const model::TaskSpec& spec) {
  return satisfies_constraints(node, spec) && satisfies_platform(node, spec);
}

}  // namespace mesh::manager
