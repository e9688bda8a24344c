// `inspect --pretty`: an object for reading. Pure.
#pragma once

#include <string>

#include "control/model/node.h"
#include "control/model/service.h"

namespace mesh::meshctl {

[[nodiscard]] std::string pretty_node(const model::Node& node);
[[nodiscard]] std::string pretty_service(const model::Service& service);

}  // namespace mesh::meshctl
