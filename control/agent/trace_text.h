// What a traced packet met, in words: services, tasks and hosts by name. Pure.
#pragma once

#include <string>
#include <vector>

#include "control/model/endpoint_table.h"
#include "dataplane/trace.h"

namespace mesh::agent {

// Names for what the programs know by number and address.
class TraceNames {
 public:
  TraceNames(const model::EndpointTables& tables, std::uint16_t self) : tables_(tables), self_(self) {}
  [[nodiscard]] std::string node(std::uint16_t number) const;                          // "node2"
  [[nodiscard]] std::string node_at(const IpAddress& address) const;                   // "node2 (192.0.2.2)"
  [[nodiscard]] std::string task(const std::string& id) const;                         // its name
  [[nodiscard]] std::string backend(std::uint16_t node, std::uint16_t binding) const;  // "task web.1.x on node2"
  [[nodiscard]] std::string port(const dataplane::TracedPacket& packet) const;  // "service web, port 8010/tcp", ""
  [[nodiscard]] const model::EndpointRow* endpoint(const IpAddress& address) const;
  [[nodiscard]] std::uint16_t number_at(const IpAddress& tunnel_address) const;  // 0: no node

 private:
  const model::EndpointTables& tables_;
  std::uint16_t self_;
};

[[nodiscard]] std::string packet_text(const dataplane::TracedPacket& packet);
// With the tunnel that it is in, if any.
[[nodiscard]] std::string frame_text(const TraceNames& names, const dataplane::TracedFrame& frame);
// Why, line by line; the last line says what became of the packet.
[[nodiscard]] std::vector<std::string> run_text(const TraceNames& names, const dataplane::TracedFrame& before,
                                                const dataplane::TraceRun& run);

}  // namespace mesh::agent
