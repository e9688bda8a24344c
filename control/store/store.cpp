#include "control/store/store.h"

#include <set>

#include <fmt/format.h>

#include "control/store/checks.h"

namespace mesh::store {

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::kCluster:
      return "cluster";
    case Kind::kNode:
      return "node";
    case Kind::kService:
      return "service";
    case Kind::kTask:
      return "task";
    case Kind::kNetwork:
      return "network";
    case Kind::kPort:
      return "port";
    case Kind::kCounter:
      return "counter";
    case Kind::kWithdrawn:
      return "withdrawn";
  }
  return "unknown";
}

std::optional<Kind> parse_kind(std::string_view name) {
  for (std::size_t i = 0; i < kKinds; ++i) {
    if (to_string(static_cast<Kind>(i)) == name) return static_cast<Kind>(i);
  }
  return std::nullopt;
}

Status check_changes(const std::vector<Change>& changes) {
  if (changes.size() > kChangesMax) {
    return fail(ErrorKind::kExhausted,
                fmt::format("{} changes are over the limit of {} in one commit", changes.size(), kChangesMax));
  }
  std::set<std::pair<Kind, std::string_view>> seen;
  for (const Change& change : changes) {
    if (change.id.empty() || change.id.size() > kIdBytesMax) {
      return fail(ErrorKind::kInvalid, fmt::format("a {} has an id of {} bytes; 1 to {} are allowed",
                                                   to_string(change.kind), change.id.size(), kIdBytesMax));
    }
    if (change.json && change.json->size() > kObjectBytesMax) {
      return fail(ErrorKind::kExhausted, fmt::format("{} {} has {} bytes, over the limit of {}", to_string(change.kind),
                                                     change.id, change.json->size(), kObjectBytesMax));
    }
    if (!seen.emplace(change.kind, change.id).second) {
      return fail(ErrorKind::kInvalid,
                  fmt::format("two changes of {} {} in one commit", to_string(change.kind), change.id));
    }
  }
  return {};
}

Status check_precondition(const Precondition& precondition, std::uint64_t actual) {
  if (precondition.version == actual) return {};
  const std::string_view kind = to_string(precondition.kind);
  if (actual == 0) {
    return fail(ErrorKind::kConflict, fmt::format("{} {} no longer exists", kind, precondition.id));
  }
  if (precondition.version == 0) {
    return fail(ErrorKind::kConflict, fmt::format("{} {} already exists", kind, precondition.id));
  }
  return fail(ErrorKind::kConflict, fmt::format("update out of sequence: {} {} is at version {}, not {}", kind,
                                                precondition.id, actual, precondition.version));
}

}  // namespace mesh::store
