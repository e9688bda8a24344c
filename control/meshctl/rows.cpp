#include "control/meshctl/rows.h"

#include <algorithm>

#include "base/text.h"
#include "control/meshctl/table.h"
#include "control/meshctl/wording.h"

namespace mesh::meshctl {

const ListView kNodeView{
    "{{.ID}} {{if .Self}}*{{else}} {{end}}\t{{.Hostname}}\t{{.Status}}\t{{.Availability}}\t{{.ManagerStatus}}\t"
    "{{.EngineVersion}}",
    {{"ID", "ID"},
     {"Hostname", "HOSTNAME"},
     {"Status", "STATUS"},
     {"Availability", "AVAILABILITY"},
     {"ManagerStatus", "MANAGER STATUS"},
     {"EngineVersion", "ENGINE VERSION"},
     {"TLSStatus", "TLS STATUS"}}};

const ListView kServiceView{"{{.ID}}\t{{.Name}}\t{{.Mode}}\t{{.Replicas}}\t{{.Image}}\t{{.Ports}}",
                            {{"ID", "ID"},
                             {"Name", "NAME"},
                             {"Mode", "MODE"},
                             {"Replicas", "REPLICAS"},
                             {"Image", "IMAGE"},
                             {"Ports", "PORTS"},
                             {"Labels", "LABELS"}}};

const ListView kTaskView{
    "{{.ID}}\t{{.Name}}\t{{.Image}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{.Error}}\t{{.Ports}}",
    {{"ID", "ID"},
     {"Name", "NAME"},
     {"Image", "IMAGE"},
     {"Node", "NODE"},
     {"DesiredState", "DESIRED STATE"},
     {"CurrentState", "CURRENT STATE"},
     {"Error", "ERROR"},
     {"Ports", "PORTS"}}};

const ListView kNetworkView{"{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
                            {{"ID", "NETWORK ID"},
                             {"Name", "NAME"},
                             {"Driver", "DRIVER"},
                             {"Scope", "SCOPE"},
                             {"Internal", "INTERNAL"},
                             {"IPv6", "IPV6"},
                             {"CreatedAt", "CREATED AT"},
                             {"Labels", "LABELS"}}};

const ListView kImageView{"{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
                          {{"Repository", "REPOSITORY"},
                           {"Tag", "TAG"},
                           {"ID", "IMAGE ID"},
                           {"CreatedSince", "CREATED"},
                           {"CreatedAt", "CREATED AT"},
                           {"Digest", "DIGEST"},
                           {"Size", "SIZE"}}};

namespace {

constexpr std::size_t kErrorWidth = 30;

std::string id_for(std::string_view id, const RowOptions& options) {
  return options.truncate ? short_id(id) : std::string(id);
}

std::string manager_status(const model::Node& node) {
  if (!node.manager_status) return "";
  return node.manager_status->leader ? "Leader" : titled(name_of(node.manager_status->reachability));
}

std::string name_for(const std::map<std::string, std::string>& names, const std::string& id, bool resolve) {
  const auto found = names.find(id);
  return resolve && found != names.end() ? found->second : id;
}

// "Running about a minute ago": within a sentence.
std::string current_state(const model::Task& task, Time now) {
  std::string age = ago(task.status.timestamp, now);
  if (age[0] >= 'A' && age[0] <= 'Z') age[0] = static_cast<char>(age[0] + 32);
  return titled(name_of(task.status.state)) + " " + age;
}

// "web.2"; a global service's tasks carry the node's id instead of a slot.
std::string task_name(const model::Task& task, const std::map<std::string, std::string>& services, bool resolve) {
  const std::string service = name_for(services, task.service_id, resolve);
  if (task.service_id.empty()) return task.name;
  return service + "." + (task.slot != 0 ? std::to_string(task.slot) : task.node_id);
}

std::string image_of(const model::Task& task, const RowOptions& options) {
  if (!task.spec.container_spec) return "";
  const auto& image = task.spec.container_spec->image;
  return options.truncate ? without_digest(image) : image;
}

std::string error_of(const model::Task& task, const RowOptions& options) {
  if (task.status.err.empty()) return "";
  const auto& err = task.status.err;
  return "\"" + (options.truncate ? shorten(err, kErrorWidth) : err) + "\"";
}

std::string host_ports_of(const model::Task& task) {
  if (!task.status.port_status) return "";
  return format_ports(task.status.port_status->ports, model::PublishMode::kHost);
}

std::string labels_text(const model::Labels& labels) {
  std::string text;
  for (const auto& [key, value] : labels) text += (text.empty() ? "" : ",") + key + "=" + value;
  return text;
}

std::string yes_no(bool value) { return value ? "true" : "false"; }

// "repository:tag" or "repository@digest", cut at the last separator of the last path segment.
std::pair<std::string, std::string> cut_reference(std::string_view reference, char separator) {
  const auto slash = reference.rfind('/');
  const auto at = reference.find(separator, slash == std::string_view::npos ? 0 : slash);
  if (at == std::string_view::npos) return {std::string(reference), "<none>"};
  return {std::string(reference.substr(0, at)), std::string(reference.substr(at + 1))};
}

// The parts of GET /images/json that are shown.
struct ImageItem {
  std::string id;
  std::vector<std::string> repo_tags, repo_digests;
  std::int64_t created = 0;  // seconds since 1970
  std::uint64_t size = 0;
};
template <class Visit>
constexpr bool json_fields(const ImageItem*, Visit&& visit) {
  return visit("Id", &ImageItem::id) && visit("RepoTags", &ImageItem::repo_tags) &&
         visit("RepoDigests", &ImageItem::repo_digests) && visit("Created", &ImageItem::created) &&
         visit("Size", &ImageItem::size);
}

}  // namespace

std::vector<JsonObject> node_rows(std::vector<model::Node> nodes, const std::string& self) {
  std::ranges::sort(
      nodes, [](const auto& a, const auto& b) { return natural_less(a.description.hostname, b.description.hostname); });
  std::vector<JsonObject> rows;
  rows.reserve(nodes.size());
  for (const auto& node : nodes) {
    rows.push_back({{"ID", node.id},
                    {"Self", node.id == self},
                    {"Hostname", node.description.hostname},
                    {"Status", titled(name_of(node.status.state))},
                    {"Availability", titled(name_of(node.spec.availability))},
                    {"ManagerStatus", manager_status(node)},
                    {"EngineVersion", node.description.engine.engine_version},
                    {"TLSStatus", "Ready"}});
  }
  return rows;
}

std::vector<JsonObject> service_rows(std::vector<model::Service> services, const RowOptions& options) {
  std::ranges::sort(services, [](const auto& a, const auto& b) { return natural_less(a.spec.name, b.spec.name); });
  std::vector<JsonObject> rows;
  for (const auto& service : services) {
    const auto& container = service.spec.task_template.container_spec;
    rows.push_back({{"ID", id_for(service.id, options)},
                    {"Name", service.spec.name},
                    {"Mode", mode_name(service.spec)},
                    {"Replicas", format_replicas(service)},
                    {"Image", container ? without_digest(container->image) : ""},
                    {"Ports", format_ports(service.endpoint.ports, model::PublishMode::kIngress)},
                    {"Labels", labels_text(service.spec.labels)}});
  }
  return rows;
}

std::vector<JsonObject> task_rows(std::vector<model::Task> tasks, const std::map<std::string, std::string>& services,
                                  const std::map<std::string, std::string>& nodes, const RowOptions& options) {
  std::ranges::sort(tasks, [&](const auto& a, const auto& b) {
    const auto first = task_name(a, services, true);
    const auto second = task_name(b, services, true);
    if (first != second) return natural_less(first, second);
    return a.created_at != b.created_at ? a.created_at > b.created_at : a.id < b.id;
  });
  std::vector<JsonObject> rows;
  std::string previous;
  for (const auto& task : tasks) {
    const auto name = task_name(task, services, options.resolve);
    rows.push_back({{"ID", id_for(task.id, options)},
                    {"Name", (name == previous ? " \\_ " : "") + name},
                    {"Image", image_of(task, options)},
                    {"Node", name_for(nodes, task.node_id, options.resolve)},
                    {"DesiredState", titled(name_of(task.desired_state))},
                    {"CurrentState", current_state(task, options.now)},
                    {"Error", error_of(task, options)},
                    {"Ports", host_ports_of(task)}});
    previous = name;
  }
  return rows;
}

std::vector<JsonObject> network_rows(std::vector<model::Network> networks, const RowOptions& options) {
  std::ranges::sort(networks, [](const auto& a, const auto& b) { return natural_less(a.name, b.name); });
  std::vector<JsonObject> rows;
  rows.reserve(networks.size());
  for (const auto& network : networks) {
    rows.push_back({{"ID", id_for(network.id, options)},
                    {"Name", network.name},
                    {"Driver", network.driver},
                    {"Scope", network.scope},
                    {"Internal", yes_no(network.internal)},
                    {"IPv6", yes_no(network.enable_ipv6)},
                    {"CreatedAt", format_time(network.created_at)},
                    {"Labels", labels_text(network.labels)}});
  }
  return rows;
}

Result<std::vector<JsonObject>> image_rows(const Json& images, const RowOptions& options) {
  auto items = TRY(decode<std::vector<ImageItem>>(images));
  std::ranges::sort(
      items, [](const auto& a, const auto& b) { return a.created != b.created ? a.created > b.created : a.id < b.id; });
  std::vector<JsonObject> rows;
  for (const auto& item : items) {
    const auto digest = item.repo_digests.empty() ? "<none>" : cut_reference(item.repo_digests[0], '@').second;
    auto references = item.repo_tags;
    if (references.empty()) {
      references.push_back(item.repo_digests.empty() ? "<none>" : cut_reference(item.repo_digests[0], '@').first);
    }
    const Time created{std::chrono::seconds(item.created)};
    for (const auto& reference : references) {
      const auto [repository, tag] = cut_reference(reference, ':');
      rows.push_back({{"Repository", repository},
                      {"Tag", tag},
                      {"ID", id_for(item.id, options)},
                      {"Digest", digest},
                      {"CreatedSince", ago(created, options.now)},
                      {"CreatedAt", format_time(created)},
                      {"Size", format_size(item.size)}});
    }
  }
  return rows;
}

}  // namespace mesh::meshctl
