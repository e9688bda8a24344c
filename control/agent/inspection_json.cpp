#include "control/agent/inspection_json.h"

namespace mesh::agent {
namespace {

Json text(std::string_view value) { return Json(boost::json::string_view(value)); }

JsonObject traffic(const dataplane::Traffic& value) {
  JsonObject object;
  object["Packets"] = value.packets;
  object["Bytes"] = value.bytes;
  return object;
}

JsonObject counts(std::size_t nodes, std::size_t endpoints, std::size_t bindings) {
  JsonObject object;
  object["Nodes"] = nodes;
  object["Endpoints"] = endpoints;
  object["Bindings"] = bindings;
  return object;
}

JsonObject port_json(const dataplane::InspectedPort& port) {
  JsonObject object;
  object["Protocol"] = text(dataplane::protocol_name(port.protocol));
  object["Port"] = port.port;
  object["Service"] = port.service_name;
  JsonObject kernel;
  kernel["RingVersion"] = port.ring_version;
  kernel["Slots"] = port.slots;
  JsonObject desired;
  desired["RingVersion"] = port.ring_version_desired;
  desired["Slots"] = port.slots_desired;
  object["Kernel"] = std::move(kernel);
  object["Desired"] = std::move(desired);
  JsonArray backends;
  for (const auto& backend : port.backends) {
    JsonObject entry;
    entry["Index"] = backend.index;
    entry["Node"] = backend.node;
    entry["Binding"] = backend.binding;
    entry["State"] = text(dataplane::state_name(backend.state));
    entry["Slots"] = backend.slots;
    entry["Moved"] = backend.moved;
    backends.emplace_back(std::move(entry));
  }
  object["Backends"] = std::move(backends);
  object["AsDesired"] = port.as_desired;
  object["PortHeld"] = port.port_held;
  return object;
}

// What passed a backend: "In" to it, "Out" from it.
void add_backend_counters(JsonObject& object, const dataplane::BindingCounters& counters) {
  object["In"] = traffic(counters.in);
  object["Out"] = traffic(counters.out);
  object["Connections"] = counters.connections;
  object["ClientResets"] = counters.resets_in;
  object["BackendResets"] = counters.resets_out;
  object["Flows"] = counters.flows;
}

void add(dataplane::Traffic& to, const dataplane::Traffic& from) {
  to.packets += from.packets;
  to.bytes += from.bytes;
}

// One row for each published port: what entered here, and the sum of its backends here.
JsonArray port_traffic(const dataplane::Counters& counters) {
  JsonArray rows;
  for (const auto& port : counters.ports) {
    dataplane::BindingCounters sum;
    for (const auto& binding : counters.bindings) {
      if (binding.protocol != port.protocol || binding.port != port.port) continue;
      add(sum.in, binding.in);
      add(sum.out, binding.out);
      sum.connections += binding.connections;
      sum.resets_in += binding.resets_in;
      sum.resets_out += binding.resets_out;
      sum.flows += binding.flows;
    }
    JsonObject row;
    row["Service"] = port.service_name;
    row["Protocol"] = text(dataplane::protocol_name(port.protocol));
    row["Port"] = port.port;
    row["Entry"] = traffic(port.entry);
    add_backend_counters(row, sum);
    rows.emplace_back(std::move(row));
  }
  return rows;
}

JsonArray named(const std::vector<dataplane::DropCounter>& counters) {
  JsonArray list;
  for (const auto& counter : counters) {
    JsonObject entry;
    entry["Reason"] = counter.reason;
    entry["Description"] = counter.description;
    entry["Packets"] = counter.packets;
    list.emplace_back(std::move(entry));
  }
  return list;
}

}  // namespace

JsonObject inspection_status(const dataplane::Inspection& inspection) {
  JsonObject status;
  status["AbiVersion"] = inspection.abi_version;
  status["PinDir"] = inspection.pin_dir;
  status["Kernel"] = counts(inspection.nodes, inspection.endpoints, inspection.bindings);
  status["Desired"] = counts(inspection.nodes_desired, inspection.endpoints_desired, inspection.bindings_desired);
  JsonArray hooks;
  for (const auto& hook : inspection.hooks) {
    JsonObject entry;
    entry["Name"] = hook.name;
    entry["Desired"] = hook.desired;
    entry["Attached"] = hook.attached;
    entry["ProgramID"] = hook.program_id;
    hooks.emplace_back(std::move(entry));
  }
  status["Hooks"] = std::move(hooks);
  JsonArray maps;
  for (const auto& map : inspection.maps) {
    JsonObject entry;
    entry["Name"] = map.name;
    entry["Entries"] = map.entries;
    entry["EntriesMax"] = map.entries_max;
    entry["Bytes"] = map.bytes;
    maps.emplace_back(std::move(entry));
  }
  status["Maps"] = std::move(maps);
  status["Differences"] = encode(inspection.differences);
  return status;
}

JsonObject inspection_services(const dataplane::Inspection& inspection, const dataplane::Counters& counters) {
  JsonArray ports;
  for (const auto& port : inspection.ports) ports.emplace_back(port_json(port));
  JsonArray vips;
  for (const auto& vip : inspection.virtual_ips) {
    JsonObject entry;
    entry["Address"] = encode(vip.address);
    entry["VNI"] = vip.vni;
    entry["Backends"] = encode(vip.backends);
    entry["AsDesired"] = vip.as_desired;
    vips.emplace_back(std::move(entry));
  }
  JsonObject services;
  services["Ports"] = std::move(ports);
  services["Traffic"] = port_traffic(counters);
  services["VirtualIPs"] = std::move(vips);
  return services;
}

JsonObject inspection_backends(const dataplane::Inspection& inspection, const dataplane::Counters& counters) {
  JsonArray backends;
  for (const auto& binding : counters.bindings) {
    JsonObject entry;
    entry["Binding"] = binding.binding;
    entry["Task"] = binding.task_id;
    entry["Protocol"] = text(dataplane::protocol_name(binding.protocol));
    entry["Service"] = binding.service_name;
    entry["Port"] = binding.port;
    add_backend_counters(entry, binding);
    backends.emplace_back(std::move(entry));
  }
  JsonArray ports;
  for (const auto& port : counters.ports) {
    JsonObject entry;
    entry["Service"] = port.service_name;
    entry["Protocol"] = text(dataplane::protocol_name(port.protocol));
    entry["Port"] = port.port;
    entry["Entry"] = traffic(port.entry);
    JsonArray to;
    for (const auto& backend : port.backends) {
      JsonObject one;
      one["Node"] = backend.node;
      one["Binding"] = backend.binding;
      one["Entry"] = traffic(backend.entry);
      to.emplace_back(std::move(one));
    }
    entry["Backends"] = std::move(to);
    ports.emplace_back(std::move(entry));
  }
  JsonObject result;
  JsonObject kernel, desired;
  kernel["Bindings"] = inspection.bindings;
  desired["Bindings"] = inspection.bindings_desired;
  result["Kernel"] = std::move(kernel);
  result["Desired"] = std::move(desired);
  result["Backends"] = std::move(backends);
  result["Ports"] = std::move(ports);
  return result;
}

JsonObject inspection_flows(const std::vector<dataplane::FlowRecord>& flows, bool more) {
  JsonArray list;
  for (const auto& flow : flows) {
    JsonObject entry;
    entry["Protocol"] = text(dataplane::protocol_name(flow.protocol));
    entry["Client"] = flow.client.to_string();
    entry["Destination"] = flow.destination.to_string();
    entry["Backend"] = flow.backend.to_string();
    entry["Binding"] = flow.binding;
    entry["Task"] = flow.task_id;
    entry["Entry"] = flow.entry;
    entry["State"] = flow.state;
    entry["IdleSeconds"] = flow.idle_seconds;
    list.emplace_back(std::move(entry));
  }
  JsonObject result;
  result["Flows"] = std::move(list);
  result["More"] = more;
  return result;
}

JsonObject inspection_drops(const dataplane::Counters& counters) {
  JsonObject result;
  result["Drops"] = named(counters.drops);
  result["Events"] = named(counters.events);
  return result;
}

api::NodeMetrics node_metrics(const dataplane::Counters& counters, const std::vector<dataplane::MapMemory>& memory) {
  const auto metrics_of = [](const dataplane::Traffic& traffic) {
    return api::TrafficMetrics{traffic.packets, traffic.bytes};
  };
  api::NodeMetrics metrics;
  metrics.in_kernel = true;
  for (const auto& port : counters.ports) {
    metrics.ports.push_back(
        {port.service_name, std::string(dataplane::protocol_name(port.protocol)), port.port, metrics_of(port.entry)});
  }
  for (const auto& one : counters.bindings) {
    metrics.backends.push_back({.service = one.service_name,
                                .task = one.task_id,
                                .protocol = std::string(dataplane::protocol_name(one.protocol)),
                                .port = one.port,
                                .in = metrics_of(one.in),
                                .out = metrics_of(one.out),
                                .connections = one.connections,
                                .resets_in = one.resets_in,
                                .resets_out = one.resets_out,
                                .flows = one.flows});
  }
  for (const auto& drop : counters.drops) metrics.drops.push_back({drop.reason, drop.packets});
  for (const auto& event : counters.events) metrics.events.push_back({event.reason, event.packets});
  metrics.flow_records = counters.flow_records;
  metrics.flow_records_max = counters.flow_records_max;
  for (const auto& map : memory) metrics.maps.push_back({map.name, map.bytes});
  return metrics;
}

}  // namespace mesh::agent
