// What is said of a published port beyond its numbers (which clients, addresses and nodes), as labels of the service
// (model/mesh_options.h). Pure.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/model/service.h"

namespace mesh::meshctl {

// --allow and --on, each given any number of times. Absent: the option stays as it is; "": it is removed.
struct PublishOptions {
  std::vector<std::string> allow, on;
};

// Adds the ports of all `texts` (parse.h, parse_publish) to the service, with their addresses, interfaces and options;
// those of one port that is named several times are taken together. kInvalid names `flag`.
Status publish_ports(model::ServiceSpec& spec, const std::string& flag, const std::vector<std::string>& texts,
                     const PublishOptions& options = {});

// Removes the ports that `matches` and all that was said of them. How many there were.
std::size_t withdraw_ports(model::ServiceSpec& spec, const std::function<bool(const model::PortConfig&)>& matches);

// The label with this value, or none if it is empty.
void set_label(model::Labels& labels, std::string_view label, const std::string& value);

}  // namespace mesh::meshctl
