// Docker's placeholders in a service's environment, hostname and mount sources (Go templates with these names only):
// {{.Service.ID}} {{.Service.Name}} {{.Service.Labels.key}} {{index .Service.Labels "key"}} {{.Node.ID}}
// {{.Node.Hostname}} {{.Node.Platform.OS}} {{.Node.Platform.Architecture}} {{.Task.ID}} {{.Task.Name}} {{.Task.Slot}}
#pragma once

#include <string>

#include "base/result.h"
#include "control/model/task.h"

namespace mesh::agent {

// kInvalid names the placeholder that is unknown or not closed.
[[nodiscard]] Result<std::string> expand_placeholders(const std::string& text, const model::Task& task);

}  // namespace mesh::agent
