#include "control/meshctl/pull_progress.h"

#include "base/json.h"

namespace mesh::meshctl {
namespace {

struct PullMessage {
  std::string status, id, error;
};
template <class Visit>
constexpr bool json_fields(const PullMessage*, Visit&& visit) {
  return visit("status", &PullMessage::status) && visit("id", &PullMessage::id) && visit("error", &PullMessage::error);
}

}  // namespace

Result<std::string> PullProgress::take(std::string_view line) {
  const auto message = TRY_IN("progress of the pull", decode_text<PullMessage>(line));
  if (!message.error.empty()) return fail(ErrorKind::kUnavailable, message.error);
  if (message.status.empty()) return std::string();
  auto& last = states_[message.id];
  if (last == message.status) return std::string();
  last = message.status;
  return (message.id.empty() ? "" : message.id + ": ") + message.status + "\n";
}

std::pair<std::string, std::string> split_reference(std::string_view reference) {
  if (const auto at = reference.find('@'); at != std::string_view::npos) {
    return {std::string(reference.substr(0, at)), std::string(reference.substr(at + 1))};
  }
  const auto slash = reference.rfind('/');
  const auto colon = reference.find(':', slash == std::string_view::npos ? 0 : slash);
  if (colon == std::string_view::npos) return {std::string(reference), "latest"};
  return {std::string(reference.substr(0, colon)), std::string(reference.substr(colon + 1))};
}

}  // namespace mesh::meshctl
