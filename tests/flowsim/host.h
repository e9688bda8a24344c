// A host: its tables, what it was told last, and its part of the control order. What it decides about packets is the
// programs' (programs.h).
#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/state.h"
#include "tests/flowsim/leader.h"
#include "tests/flowsim/programs.h"

namespace mesh::flowsim {

struct Container;

class Host {
 public:
  Host(Simulation& simulation, std::uint16_t node);

  [[nodiscard]] std::uint16_t node() const { return node_; }
  // The tables at this moment, for the programs.
  [[nodiscard]] flowsim_tables& tables();
  [[nodiscard]] bool serves() const { return up && tables_->ports[0].service.ring != 0; }
  [[nodiscard]] std::uint32_t ring_version(PortIndex port) const {
    return MESH_RING_VERSION(tables_->ports[port].service.ring);
  }
  // One of its containers would be preferred here.
  [[nodiscard]] bool has_local(PortIndex port) const;

  // The packet's slot has moved, as this host knows it.
  [[nodiscard]] bool enters_moved(PortIndex port, const mesh_packet& packet) const;

  // A new row is on its way from the leader; the newest that has arrived counts.
  void expect(const std::shared_ptr<const ServiceRow>& row);
  void unbind(const Container& container);
  // Every second: sweeps the flow table and reports where it holds flows of others.
  void scan();
  void die();
  // Comes up without flows, with the newest row.
  void join(const std::shared_ptr<const ServiceRow>& row);

  bool up = true;
  bool behind = false;     // the leader went on without its acknowledgement
  Time control_delay = 0;  // of its daemon, besides the usual: a restart, or a disk that hangs
  std::uint64_t life = 0;  // counts restarts of the machine

 private:
  void clear();
  void apply(const ServiceRow& row);
  void apply_port(PortIndex port, const ServiceRow& row);
  void write_ring(PortIndex port, const dataplane::Observed& rows);
  void write_backends(PortIndex port, const dataplane::Observed& rows);
  void keep_picture(PortIndex port, const dataplane::Observed& rows, bool with_ring);
  [[nodiscard]] Time delay() const;

  Simulation& simulation_;
  std::uint16_t node_ = 0;
  std::uint32_t row_version_ = 0;
  std::unique_ptr<flowsim_tables> tables_;
  dataplane::Observed picture_;  // of the tables, as dataplane::ForeignSlots reads them
};

}  // namespace mesh::flowsim
