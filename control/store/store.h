// Where the cluster's state is kept: objects as (kind, id, JSON text, version), changed in transactions.
//
// Versions: one counter for the whole store, grown by each commit; an object's version is that of the commit that last
// wrote it. Readers do not read the store: they take a snapshot once and are fed by a watch (control/store/view.h).
// Every implementation passes tests/unit/store_conformance_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mesh::store {

enum class Kind : std::uint8_t { kCluster, kNode, kService, kTask, kNetwork, kPort, kCounter, kWithdrawn };
inline constexpr std::size_t kKinds = 8;
[[nodiscard]] std::string_view to_string(Kind kind);

// Limits of one commit and one object. etcd's are the narrowest: 1.5 MB per request.
inline constexpr std::size_t kChangesMax = 4096;
inline constexpr std::size_t kObjectBytesMax = 1U << 20U;
inline constexpr std::size_t kIdBytesMax = 256;

struct Change {
  Kind kind = Kind::kCluster;
  std::string id;
  std::optional<std::string> json;  // absent: the object is removed; removing what is not there is no error
  bool operator==(const Change&) const = default;
};

// The object still has this version; 0: it does not exist.
struct Precondition {
  Kind kind = Kind::kCluster;
  std::string id;
  std::uint64_t version = 0;
};

struct Record {
  Kind kind = Kind::kCluster;
  std::string id;
  std::string json;
  std::uint64_t version = 0;
  bool operator==(const Record&) const = default;
};

struct Snapshot {
  std::uint64_t version = 0;  // of the last commit it contains
  std::vector<Record> records;
};

// What one commit did, as watchers see it.
struct Batch {
  std::uint64_t version = 0;
  std::vector<Change> changes;
};

// kDurable survives a power cut once commit returned. kRelaxed survives the death of meshd and may be lost, never torn,
// in a power cut: for what hosts report again anyway.
enum class Durability : std::uint8_t { kDurable, kRelaxed };

// Ends its watch when destroyed. Must not outlive the store.
class Watch {
 public:
  virtual ~Watch() = default;
};

class Store {
 public:
  virtual ~Store() = default;

  // All changes or none; the new version of the store. kConflict: a precondition does not hold (the message names the
  // object); kExhausted: a limit above; kInvalid: two changes of one object. Without changes: the current version.
  virtual Result<std::uint64_t> commit(const std::vector<Change>& changes,
                                       const std::vector<Precondition>& preconditions,
                                       Durability durability = Durability::kDurable) = 0;
  [[nodiscard]] virtual Result<Snapshot> snapshot() const = 0;
  // Every commit after version `from`, in order, each once: those already made before watch returns, later ones before
  // the commit that makes them returns. kNotFound: `from` is too old or in the future; take a snapshot and watch from
  // its version. The callback must not call the store.
  virtual Result<std::unique_ptr<Watch>> watch(std::uint64_t from, std::function<void(const Batch&)> on_batch) = 0;
};

}  // namespace mesh::store
