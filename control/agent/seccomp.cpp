#include "control/agent/seccomp.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace mesh::agent {
namespace {

struct Condition {
  std::vector<std::string> arches, caps;
};
template <class Visit>
constexpr bool json_fields(const Condition*, Visit&& visit) {
  return visit("arches", &Condition::arches) && visit("caps", &Condition::caps);
}

struct Argument {
  std::uint32_t index = 0;
  std::uint64_t value = 0, value_two = 0;
  std::string op;
};
template <class Visit>
constexpr bool json_fields(const Argument*, Visit&& visit) {
  return visit("index", &Argument::index) && visit("value", &Argument::value) &&
         visit("valueTwo", &Argument::value_two, kOmitEmpty) && visit("op", &Argument::op);
}

struct Rule {
  std::vector<std::string> names;
  std::string action;
  std::vector<Argument> args;
  std::optional<std::uint32_t> errno_ret;
  Condition includes, excludes;
};
template <class Visit>
constexpr bool json_fields(const Rule*, Visit&& visit) {
  return visit("names", &Rule::names) && visit("action", &Rule::action) && visit("args", &Rule::args) &&
         visit("errnoRet", &Rule::errno_ret) && visit("includes", &Rule::includes) &&
         visit("excludes", &Rule::excludes);
}

struct Architecture {
  std::string architecture;
  std::vector<std::string> sub_architectures;
};
template <class Visit>
constexpr bool json_fields(const Architecture*, Visit&& visit) {
  return visit("architecture", &Architecture::architecture) &&
         visit("subArchitectures", &Architecture::sub_architectures);
}

struct Profile {
  std::string default_action;
  std::optional<std::uint32_t> default_errno_ret;
  std::vector<Architecture> arch_map;
  std::vector<Rule> syscalls;
};
template <class Visit>
constexpr bool json_fields(const Profile*, Visit&& visit) {
  return visit("defaultAction", &Profile::default_action) && visit("defaultErrnoRet", &Profile::default_errno_ret) &&
         visit("archMap", &Profile::arch_map) && visit("syscalls", &Profile::syscalls);
}

Result<std::string> native_name(const std::string& architecture) {
  if (architecture == "amd64") return std::string("SCMP_ARCH_X86_64");
  if (architecture == "arm64") return std::string("SCMP_ARCH_AARCH64");
  if (architecture == "386") return std::string("SCMP_ARCH_X86");
  if (architecture == "arm") return std::string("SCMP_ARCH_ARM");
  if (architecture == "s390x") return std::string("SCMP_ARCH_S390X");
  if (architecture == "ppc64le") return std::string("SCMP_ARCH_PPC64LE");
  if (architecture == "riscv64") return std::string("SCMP_ARCH_RISCV64");
  return fail(ErrorKind::kUnsupported, fmt::format("no seccomp profile for the architecture {}", architecture));
}

bool any_of(const std::vector<std::string>& wanted, const std::vector<std::string>& have) {
  return std::ranges::any_of(wanted,
                             [&](const std::string& name) { return std::ranges::find(have, name) != have.end(); });
}

bool applies(const Rule& rule, const std::string& architecture, const std::vector<std::string>& capabilities) {
  const std::vector<std::string> arches = {architecture == "386" ? "x86" : architecture};
  if (!rule.includes.arches.empty() && !any_of(rule.includes.arches, arches)) return false;
  if (any_of(rule.excludes.arches, arches)) return false;
  // Every capability named must be there; any excluded one rules it out (containers-common, seccomp/conversion.go).
  if (!std::ranges::all_of(rule.includes.caps, [&](const std::string& cap) { return any_of({cap}, capabilities); })) {
    return false;
  }
  return !any_of(rule.excludes.caps, capabilities);
}

}  // namespace

Result<Json> resolve_seccomp(std::string_view profile, const std::string& architecture,
                             const std::vector<std::string>& capabilities) {
  const Json value = TRY_IN("seccomp profile", parse_json(profile));
  const Profile parsed = TRY_IN("seccomp profile", decode<Profile>(value));
  const std::string native = TRY(native_name(architecture));
  JsonArray architectures{Json(native)};
  for (const Architecture& row : parsed.arch_map) {
    if (row.architecture != native) continue;
    for (const std::string& sub : row.sub_architectures) architectures.emplace_back(sub);
  }
  JsonArray syscalls;
  for (const Rule& rule : parsed.syscalls) {
    if (!applies(rule, architecture, capabilities)) continue;
    JsonObject entry;
    entry["names"] = encode(rule.names);
    entry["action"] = rule.action;
    if (rule.errno_ret) entry["errnoRet"] = *rule.errno_ret;
    if (!rule.args.empty()) entry["args"] = encode(rule.args);
    syscalls.emplace_back(std::move(entry));
  }
  JsonObject result;
  result["defaultAction"] = parsed.default_action;
  if (parsed.default_errno_ret) result["defaultErrnoRet"] = *parsed.default_errno_ret;
  result["architectures"] = std::move(architectures);
  result["syscalls"] = std::move(syscalls);
  return Json(std::move(result));
}

}  // namespace mesh::agent
