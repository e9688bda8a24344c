// What was planned last, piece by piece, so that a change costs what it touches: the Desired with an index over its
// pieces, and the room that they take. Pure.
//
// A plan of some pieces is the plan of all if no row belongs to two pieces and the kernel holds what was planned. The
// first is looked at here, the second is the caller's to know: after anything that failed or was found changed, a whole
// plan() comes first.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "dataplane/desired.h"
#include "dataplane/layout.h"
#include "dataplane/plan.h"
#include "dataplane/state.h"

namespace mesh::dataplane {

class Ledger {
 public:
  Ledger() = default;
  explicit Ledger(Desired desired);

  // A whole plan was made and done: what it took, and what the kernel holds.
  void settle(Room room, const Observed& kernel);

  // The change becomes part of desired(). Nothing: its pieces share rows with others, or wait for the room of others,
  // so that everything must be planned together.
  [[nodiscard]] std::optional<Plan> plan(const Change& change, const HostFacts& facts, const Observed& kernel);
  // The same without a plan.
  void apply(const Change& change);

  // The change that makes `wanted` of desired(); nothing where more than pieces differs.
  [[nodiscard]] std::optional<Change> difference(const Desired& wanted) const;

  [[nodiscard]] const Desired& desired() const { return desired_; }
  [[nodiscard]] const PublishedPort* find(Protocol protocol, std::uint16_t port) const;

 private:
  struct Touched {  // by name; each once
    std::set<std::string> endpoints;
    std::set<std::uint32_t> ports;  // service indexes
    std::set<std::uint16_t> bindings;
    std::set<IpAddress> virtual_ips;
  };
  // Where a piece is in its list of desired_, by its name.
  template <class Name>
  using Index = std::unordered_map<Name, std::size_t>;

  [[nodiscard]] Touched touch(const Change& change) const;
  [[nodiscard]] Pieces select(const Touched& touched) const;
  [[nodiscard]] std::optional<Observed> rows_of(const Pieces& pieces, const HostFacts& facts,
                                                const Observed& kernel) const;
  void index_all();

  Desired desired_;
  Room room_;
  bool divisible_ = false;  // no two pieces share a row or a name
  Index<std::string> endpoints_;
  Index<std::uint32_t> ports_;
  Index<std::uint16_t> bindings_;
  Index<std::string> virtual_ips_;                                   // by the bytes of the address
  std::unordered_multimap<std::string, std::uint16_t> bindings_of_;  // by task id
};

}  // namespace mesh::dataplane
