#include "control/agent/placeholder.h"

#include <sys/utsname.h>

#include <fmt/format.h>

#include "base/text.h"

namespace mesh::agent {
namespace {

std::string label(const model::Task& task, std::string_view key) {
  const auto found = task.mesh.service_labels.find(std::string(key));
  return found == task.mesh.service_labels.end() ? std::string() : found->second;
}

std::string machine() {
  utsname name{};
  uname(&name);
  return name.machine;
}

Result<std::string> value_of(std::string_view name, const model::Task& task) {
  constexpr std::string_view kLabel = ".Service.Labels.";
  constexpr std::string_view kIndex = "index .Service.Labels ";
  if (name == ".Service.ID") return task.service_id;
  if (name == ".Service.Name") return task.mesh.service_name;
  if (name == ".Node.ID") return task.node_id;
  if (name == ".Node.Hostname") return task.mesh.node_hostname;
  if (name == ".Node.Platform.OS") return std::string("linux");
  if (name == ".Node.Platform.Architecture") return machine();
  if (name == ".Task.ID") return task.id;
  if (name == ".Task.Name") return task.mesh.container_name;
  // A global service has no slots: docker shows the node's id there.
  if (name == ".Task.Slot") return task.slot == 0 ? task.node_id : std::to_string(task.slot);
  if (name.starts_with(kLabel)) return label(task, name.substr(kLabel.size()));
  if (name.starts_with(kIndex)) {
    const std::string_view key = trim(name.substr(kIndex.size()));
    if (key.size() >= 2 && key.front() == '"' && key.back() == '"') return label(task, key.substr(1, key.size() - 2));
  }
  return fail(ErrorKind::kInvalid,
              fmt::format("unknown placeholder \"{{{{{}}}}}\"; there are .Service.ID .Service.Name "
                          ".Service.Labels .Node.ID .Node.Hostname .Node.Platform.OS "
                          ".Node.Platform.Architecture .Task.ID .Task.Name .Task.Slot",
                          name));
}

}  // namespace

Result<std::string> expand_placeholders(const std::string& text, const model::Task& task) {
  std::string out;
  std::size_t at = 0;
  for (;;) {
    const std::size_t open = text.find("{{", at);
    out.append(text, at, open == std::string::npos ? std::string::npos : open - at);
    if (open == std::string::npos) return out;
    const std::size_t close = text.find("}}", open);
    if (close == std::string::npos) {
      return fail(ErrorKind::kInvalid, fmt::format("placeholder in \"{}\" is not closed by \"}}}}\"", text));
    }
    out += TRY(value_of(trim(std::string_view(text).substr(open + 2, close - open - 2)), task));
    at = close + 2;
  }
}

}  // namespace mesh::agent
