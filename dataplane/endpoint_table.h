// Endpoints of IPv4 as the programs search them: lines of four in a mapped array (layout: bpf/abi.h, order of search:
// bpf/lib/endpoint.h). Programs read while it is written, and find at every moment each endpoint that stays: none is
// ever moved. One writer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bpf/abi.h"
#include "dataplane/state.h"

namespace mesh::dataplane {

class EndpointTable {
 public:
  // What is there stays, but what programs would not find.
  explicit EndpointTable(std::span<mesh_endpoint_line> lines);

  // False: no line of its sequence has a place.
  [[nodiscard]] bool put(const mesh_endpoint4_key& key, const mesh_endpoint4_place& place);
  void erase(const mesh_endpoint4_key& key);
  // What programs find, as rows of MapId::kEndpoints4.
  [[nodiscard]] Table rows() const;

 private:
  struct Place {
    std::uint32_t line = 0, way = 0;
  };
  template <class Visit>
  void for_each(const Visit& visit) const;
  template <class Visit>  // line -> whether to go on
  void walk(const mesh_endpoint4_key& key, const Visit& visit) const;
  [[nodiscard]] bool find(const mesh_endpoint4_key& key, Place& place) const;
  void pass(const mesh_endpoint4_key& key, std::uint32_t line, int count);
  void clear(const Place& place);

  std::span<mesh_endpoint_line> lines_;
  std::vector<std::uint16_t> passed_;  // of each line: endpoints that had no place there
};

}  // namespace mesh::dataplane
