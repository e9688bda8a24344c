// What this host's kernel and agent have counted, as plain values: what /metrics is made of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/model/endpoint_table.h"

namespace mesh::api {

struct TrafficMetrics {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

// A published port, as this host is its entry.
struct PortMetrics {
  std::string service;
  std::string protocol;
  std::uint16_t port = 0;
  TrafficMetrics entry;
};

// A backend of this host.
struct BackendMetrics {
  std::string service;
  std::string task;  // its name, "web.1.<id>"
  std::string protocol;
  std::uint16_t port = 0;
  TrafficMetrics in, out;
  std::uint64_t connections = 0;
  std::uint64_t resets_in = 0, resets_out = 0;  // of clients; of the task
  std::uint64_t flows = 0;
};

struct NamedCount {
  std::string name;
  std::uint64_t count = 0;
};

struct NodeMetrics {
  bool in_kernel = false;  // the data plane is open: what follows up to `maps` was read from it
  std::vector<PortMetrics> ports;
  std::vector<BackendMetrics> backends;
  std::vector<NamedCount> drops, events;
  std::uint64_t flow_records = 0, flow_records_max = 0;
  std::vector<NamedCount> maps;  // bytes of memory
  std::uint16_t number = 0;      // of this node; 0: in no cluster
  model::TableVersion tables;    // in this kernel
  std::uint64_t drift = 0;       // rows that another hand had changed, since the start of meshd
  std::uint64_t problems = 0;    // what could not be programmed
};

}  // namespace mesh::api
