#include "control/agent/container_user.h"

#include <algorithm>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/text.h"

namespace mesh::agent {
namespace {

struct PasswdLine {
  std::string name, home;
  std::uint32_t uid = 0, gid = 0;
};

// passwd(5); a line that is not one is skipped, as libc does.
std::optional<PasswdLine> parse_passwd(std::string_view line) {
  const auto parts = split(line, ':');
  if (parts.size() < 6) return std::nullopt;
  const auto uid = parse_number<std::uint32_t>(parts[2]);
  const auto gid = parse_number<std::uint32_t>(parts[3]);
  if (!uid || !gid) return std::nullopt;
  return PasswdLine{std::string(parts[0]), std::string(parts[5]), *uid, *gid};
}

struct GroupLine {
  std::string name;
  std::uint32_t gid = 0;
  std::vector<std::string_view> members;
};

std::optional<GroupLine> parse_group(std::string_view line) {
  const auto parts = split(line, ':');
  if (parts.size() < 3) return std::nullopt;
  const auto gid = parse_number<std::uint32_t>(parts[2]);
  if (!gid) return std::nullopt;
  GroupLine found{std::string(parts[0]), *gid, {}};
  if (parts.size() > 3) found.members = split(parts[3], ',');
  return found;
}

Result<std::uint32_t> find_group(std::string_view text, std::string_view wanted) {
  for (const std::string_view line : split(text, '\n')) {
    if (const auto found = parse_group(line); found && found->name == wanted) return found->gid;
  }
  if (const auto number = parse_number<std::uint32_t>(wanted)) return *number;
  return fail(ErrorKind::kInvalid, fmt::format("unable to find group {}: no matching entries in group file", wanted));
}

}  // namespace

Result<ContainerUser> find_user(std::string_view passwd, std::string_view group, std::string_view user,
                                const std::vector<std::string>& groups) {
  const auto colon = user.find(':');
  const std::string_view wanted = user.substr(0, colon);
  const std::string_view wanted_group = colon == std::string_view::npos ? std::string_view{} : user.substr(colon + 1);

  ContainerUser found;
  const std::optional<std::uint32_t> number = wanted.empty() ? std::optional(0U) : parse_number<std::uint32_t>(wanted);
  std::optional<PasswdLine> entry;
  for (const std::string_view line : split(passwd, '\n')) {
    auto parsed = parse_passwd(line);
    if (!parsed || (parsed->name != wanted && (!number || parsed->uid != *number))) continue;
    entry = std::move(parsed);
    break;
  }
  if (!entry && !number) {
    return fail(ErrorKind::kInvalid, fmt::format("unable to find user {}: no matching entries in passwd file", wanted));
  }
  found.uid = entry ? entry->uid : *number;
  found.gid = entry ? entry->gid : 0;
  if (entry && !entry->home.empty()) found.home = entry->home;
  if (entry && found.uid == 0 && entry->home.empty()) found.home = "/root";

  std::set<std::uint32_t> additional;
  if (!wanted_group.empty()) {
    found.gid = TRY(find_group(group, wanted_group));
  } else if (entry) {
    // The groups that list the user count only when no group was named, as docker does.
    for (const std::string_view line : split(group, '\n')) {
      const auto parsed = parse_group(line);
      if (!parsed || std::ranges::find(parsed->members, entry->name) == parsed->members.end()) continue;
      additional.insert(parsed->gid);
    }
  }
  for (const std::string& name : groups) additional.insert(TRY(find_group(group, name)));
  found.additional_gids.assign(additional.begin(), additional.end());
  return found;
}

}  // namespace mesh::agent
