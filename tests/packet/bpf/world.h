// What the tables say in tests: three hosts, published ports, networks. Written through Tables, so the kernel and the
// native stand-ins get the same.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "tests/packet/bpf/tables.h"

namespace mesh::packet {

using Mac = std::array<__u8, 6>;

// "192.0.2.1" or "2001:db8::1"; a wrong literal ends the test.
[[nodiscard]] mesh_address address(const std::string& text);
[[nodiscard]] Mac endpoint_mac(const std::string& ingress_v4);

inline constexpr __u32 kIngressVni = 4096;
inline constexpr __u32 kVipService = 1;     // of every virtual IP
inline constexpr __u32 kEndpointLines = 4;  // few, so that some endpoints find no place on their first
inline constexpr __u32 kBackendRows = 256;  // the table has rows for 512 CPUs
inline constexpr __u32 kFlowSets = 1024;    // few enough to be cleared between cases
inline constexpr __u16 kUnderlayMtu = 1500;
inline constexpr __u16 kInnerMtu = kUnderlayMtu - MESH_OUTER_SIZE;

struct NodeRecord {
  __u16 number;
  std::string address;
  Mac next_hop;
  Mac egress;
  __u32 ifindex;
  bool self;
  std::string v6;  // a second address, if any
};

struct BackendRecord {
  __u16 node;
  __u16 binding;
};

class World {
 public:
  explicit World(Tables& tables) : tables_(tables) {}

  void config(__u16 self, __u32 mesh_ifindex, __u64 host_cookie = 0);
  void node(const NodeRecord& record);
  // All slots belong to `owners` in turn. `flags` are put into every slot (MESH_SLOT_MOVED).
  void service(__u8 protocol, __u16 port, const std::vector<BackendRecord>& backends, const std::vector<__u8>& owners,
               __u32 version = 1, __u8 flags = 0);
  // Of a service that is there: MESH_OPTIONS, and what they refer to.
  void options(__u8 protocol, __u16 port, __u32 options);
  void bound(__u8 protocol, __u16 port, const std::string& address_text);
  void allowed(__u8 protocol, __u16 port, const std::string& prefix, __u32 length);  // of the mapped address
  void locals(__u8 protocol, __u16 port, const std::vector<__u16>& bindings);
  // F and the previous owner of every slot of the service.
  void rows(__u8 protocol, __u16 port, __u32 version, __u8 previous, const std::vector<__u16>& hosts);
  void binding(__u16 index, const std::string& v4, const std::string& v6, __u32 ifindex, __u8 protocol, __u16 published,
               __u16 target);
  // One address of an endpoint; `ingress_v4` gives its MAC. ifindex 0: on another node.
  void endpoint(__u32 vni, const std::string& address_text, const std::string& ingress_v4, __u16 node, __u32 ifindex,
                __u16 source_flags = 0);
  void endpoint4(const mesh_endpoint4& wanted);
  void network(__u32 vni, const std::string& prefix, __u32 length);
  void vip(const std::string& address_text, __u32 vni, const std::vector<std::string>& backends);
  // An address that was among the virtual IP's.
  void former(__u32 vni, const std::string& address_text, const std::string& vip_text, __u32 service = kVipService);
  // What is of `peer_text` and the client: whom it goes to, or comes from.
  void lead(const mesh_lead_key& key, const std::string& other_text);
  void no_endpoint(__u32 vni, const std::string& address_text);
  void member(__u64 cookie, __u32 ifindex, const std::vector<__u32>& vnis);

 private:
  Tables& tables_;
  __u32 next_backend_ = 0;
  __u32 next_chunk_ = 0;
  __u32 next_vip_backend_ = 0;
};

}  // namespace mesh::packet
