// The programs natively, over tables of their own: the same vectors as in the kernel, under the sanitizers.
#pragma once

#include <memory>
#include <string>

#include "tests/packet/bpf/kernel.h"

namespace mesh::packet {

// One at a time: the programs know their maps by symbol.
class Native : public Tables {
 public:
  Native();
  ~Native() override;

  void put(const std::string& map, const void* key, const void* value) override;
  void erase(const std::string& map, const void* key) override;
  bool get(const std::string& map, const void* key, void* value) override;
  __u64 total(const std::string& map, __u32 index) override;

  [[nodiscard]] Outcome run(const std::string& program, const Bytes& frame, std::uint32_t gso_size = 0);
  // Empties a map; an array's entries are zero again.
  void clear(const std::string& map);
  // Where the last redirect went: "peer 5", "neigh 2", "to 2", "ingress 3"; "" if there was none.
  [[nodiscard]] const std::string& redirect() const;
  // What bpf_fib_lookup() says about the routes to these destinations (none given: to all); about the others, that
  // there is no neighbour.
  void set_route(int result, __u32 ifindex, const std::uint8_t* destination_mac, const std::uint8_t* source_mac,
                 const std::vector<mesh_address>& destinations = {});

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace mesh::packet
