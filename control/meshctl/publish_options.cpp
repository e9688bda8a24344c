#include "control/meshctl/publish_options.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "control/meshctl/parse.h"
#include "control/meshctl/service_flags.h"
#include "control/model/mesh_options.h"

namespace mesh::meshctl {
namespace {

// Labels name a port by its number, which the cluster chooses only later.
Status require_number(const model::PortConfig& port, std::string_view what) {
  if (port.published_port != 0) return {};
  return fail(ErrorKind::kInvalid, fmt::format("{} needs a published port: write PUBLISHED:{}, such as 8010:{}", what,
                                               port.target_port, port.target_port));
}

Status set_list(model::ServiceSpec& spec, const model::PortConfig& port, std::string_view option,
                const std::vector<std::string>& values) {
  if (values.empty()) return {};
  TRY(require_number(port, fmt::format("--{}", option)));
  std::vector<std::string> given = values;
  std::erase(given, "");
  set_label(spec.labels, model::port_label(model::published_port(port), option),
            fmt::format("{}", fmt::join(given, ",")));
  return {};
}

}  // namespace

void set_label(model::Labels& labels, std::string_view label, const std::string& value) {
  if (value.empty()) {
    labels.erase(std::string(label));
  } else {
    labels[std::string(label)] = value;
  }
}

Status publish_ports(model::ServiceSpec& spec, const std::string& flag, const std::vector<std::string>& texts,
                     const PublishOptions& options) {
  struct Places {
    std::vector<std::string> addresses, interfaces;
  };
  std::map<model::PublishedPort, Places> places;
  for (const std::string& text : texts) {
    const auto wanted = TRY_IN(flag, parse_publish(text));
    for (const model::PortConfig& port : wanted.ports) {
      add_port(spec, port);
      TRY_IN(flag, set_list(spec, port, "allow", options.allow));
      TRY_IN(flag, set_list(spec, port, "on", options.on));
      if (!wanted.address && wanted.interface.empty()) continue;
      TRY_IN(flag, require_number(port, wanted.address ? "an address" : "an interface"));
      Places& named = places[model::published_port(port)];
      if (!wanted.interface.empty()) named.interfaces.push_back(wanted.interface);
      // As in docker, 0.0.0.0 and [::] are all addresses: an empty value, which removes the label.
      const bool all = !wanted.address || wanted.address->is_unspecified();
      if (!all) named.addresses.push_back(wanted.address->to_string());
    }
  }
  for (const auto& [port, named] : places) {
    set_label(spec.labels, model::port_label(port, "address"), fmt::format("{}", fmt::join(named.addresses, ",")));
    set_label(spec.labels, model::port_label(port, "interface"), fmt::format("{}", fmt::join(named.interfaces, ",")));
  }
  return {};
}

std::size_t withdraw_ports(model::ServiceSpec& spec, const std::function<bool(const model::PortConfig&)>& matches) {
  if (!spec.endpoint_spec) return 0;
  return std::erase_if(spec.endpoint_spec->ports, [&](const model::PortConfig& port) {
    if (!matches(port)) return false;
    model::remove_port_labels(spec.labels, model::published_port(port));
    return true;
  });
}

}  // namespace mesh::meshctl
