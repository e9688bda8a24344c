// Placement constraints: "node.labels.disk == ssd". Keys: node.id, node.hostname, node.role, node.ip (an address or a
// prefix), node.platform.os, node.platform.arch, node.labels.K, engine.labels.K; operators == and !=; values compare
// without regard to case (Docker: "service create --constraint").
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/model/node.h"
#include "control/model/task_spec.h"

namespace mesh::manager {

struct Constraint {
  std::string key;
  bool equal = true;
  std::string value;
};
inline constexpr std::string_view kConstraintKeys =
    "node.id, node.hostname, node.role, node.ip, node.platform.os, node.platform.arch, node.labels.K and "
    "engine.labels.K";
[[nodiscard]] bool is_known_key(std::string_view key);
// kInvalid names the constraint.
[[nodiscard]] Result<Constraint> parse_constraint(std::string_view text);
// An unknown key satisfies nothing, not even "!=".
[[nodiscard]] bool satisfies(const model::Node& node, const Constraint& constraint);
// A constraint that does not parse is not satisfied.
[[nodiscard]] bool satisfies_all(const model::Node& node, const std::vector<std::string>& constraints);
// All constraints of the spec and one of its platforms.
[[nodiscard]] bool satisfies_constraints(const model::Node& node, const model::TaskSpec& spec);
[[nodiscard]] bool satisfies_platform(const model::Node& node, const model::TaskSpec& spec);
[[nodiscard]] bool satisfies(const model::Node& node, const model::TaskSpec& spec);

}  // namespace mesh::manager
