// Options of published ports (model/mesh_options.h) as rows of the tables: who answers, whom a port lets in, and how
// much each backend gets.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "control/model/mesh_options.h"
#include "control/store/view.h"
#include "dataplane/ring.h"

namespace mesh::manager {

// What needs the cluster to be known: the expressions of `on` are constraints with known keys, and local preference is
// not asked for on an address of several hosts. kInvalid.
[[nodiscard]] Status check_port_options(const store::View& view, const model::ServiceSpec& spec);
// Options that have no effect now: of a port that is not published, on an address that no node has, on nodes that do
// not exist. For the answer to `service create` and `update`.
[[nodiscard]] std::vector<std::string> port_option_warnings(const store::View& view, const model::ServiceSpec& spec);
// Published ports that no node answers, and node labels that are no weights but are used as such. For `meshctl status`.
[[nodiscard]] std::vector<std::string> option_problems(const store::View& view);

void set_options(const store::View& view, const model::MeshOptions& options, const model::PublishedPort& port,
                 model::PortRow& row);
// By node number, of nodes whose weight is not 1. What is no weight counts as 1.
[[nodiscard]] std::map<std::uint16_t, std::uint16_t> node_weights(const store::View& view,
                                                                  const std::string& weight_label);
// Divides the members' weights by what they have in common: 50 and 100 are 1 and 2, with a smaller ring.
void reduce_weights(std::vector<dataplane::RingMember>& members);

// Ids of the nodes that answer, or would, on a port of a service with these labels; all where labels are refused.
[[nodiscard]] std::set<std::string> entry_nodes(const store::View& view, const model::Labels& labels,
                                                const model::PublishedPort& port);
// The node answers on the port of this row, by its number and its addresses.
[[nodiscard]] bool answers(const model::Node& node, const model::PortRow& row);

}  // namespace mesh::manager
