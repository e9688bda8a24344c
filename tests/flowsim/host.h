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
  [[nodiscard]] bool serves() const { return up && tables_->service.ring != 0; }
  [[nodiscard]] std::uint32_t ring_version() const { return MESH_RING_VERSION(tables_->service.ring); }

  // A new row is on its way from the leader; the newest that has arrived counts.
  void expect(const std::shared_ptr<const PortRow>& row);
  void unbind(const Container& container);
  // Every second: sweeps the flow table and reports where it holds flows of others.
  void scan();
  void die();
  // Comes up without flows, with the newest row.
  void join(const std::shared_ptr<const PortRow>& row);

  bool up = true;
  bool behind = false;     // the leader went on without its acknowledgement
  Time control_delay = 0;  // of its daemon, besides the usual: a restart, or a disk that hangs
  std::uint64_t life = 0;  // counts restarts of the machine

 private:
  void clear();
  void apply(const PortRow& row);
  void write_slots(const PortRow& row);
  void write_rows(const PortRow& row);
  void write_picture();
  [[nodiscard]] Time delay() const;

  Simulation& simulation_;
  std::uint16_t node_ = 0;
  std::uint32_t row_version_ = 0;
  std::unique_ptr<flowsim_tables> tables_;
  dataplane::Observed picture_;  // of the tables, as dataplane::ForeignSlots reads them
};

}  // namespace mesh::flowsim
