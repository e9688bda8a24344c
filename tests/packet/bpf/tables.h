// The maps of the programs under test, in the kernel or in native stand-ins: filled by the same code.
#pragma once

#include <cstring>
#include <string>

#include "bpf/abi.h"

namespace mesh::packet {

class Tables {
 public:
  virtual ~Tables() = default;
  // Raw bytes of the map's key and value. A failure ends the test.
  virtual void put(const std::string& map, const void* key, const void* value) = 0;
  virtual void erase(const std::string& map, const void* key) = 0;
  // Whether the entry is there; per-CPU u64 counters are summed with total().
  virtual bool get(const std::string& map, const void* key, void* value) = 0;
  virtual __u64 total(const std::string& map, __u32 index) = 0;

  template <class Key, class Value>
  void set(const std::string& map, const Key& key, const Value& value) {
    put(map, &key, &value);
  }
  [[nodiscard]] __u64 counter(__u32 index) { return total("mesh_counters", index); }
};

}  // namespace mesh::packet
