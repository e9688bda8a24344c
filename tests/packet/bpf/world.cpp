#include "tests/packet/bpf/world.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/address.h"
#include "bpf/lib/address.h"
#include "bpf/lib/bytes.h"
#include "bpf/lib/endpoint.h"

namespace mesh::packet {
namespace {

constexpr __u32 kRingLog2 = 8;

IpAddress parse(const std::string& text) {
  const auto parsed = IpAddress::parse(text);
  if (!parsed.has_value()) {
    std::fprintf(stderr, "not an address: %s\n", text.c_str());
    std::abort();
  }
  return *parsed;
}

const char* services_of(__u8 protocol) { return protocol == 132 ? "mesh_sctp_services" : "mesh_services"; }

void copy(__u8* to, const Mac& from) { std::memcpy(to, from.data(), from.size()); }

}  // namespace

mesh_address address(const std::string& text) {
  mesh_address value{};
  std::memcpy(&value, parse(text).bytes().data(), sizeof(value));
  return value;
}

Mac endpoint_mac(const std::string& ingress_v4) { return MacAddress::of_endpoint(parse(ingress_v4)).bytes; }

void World::config(__u16 self, __u32 mesh_ifindex, __u64 host_cookie) {
  mesh_config value{};
  value.abi = MESH_ABI_VERSION;
  value.self = self;
  value.endpoint_mtu = kInnerMtu;
  value.ingress_vni = kIngressVni;
  value.mesh_ifindex = mesh_ifindex;
  value.flow_mask = kFlowSets - 1;
  value.dns_port = mesh_be16(7953);
  copy(value.gateway_mac, endpoint_mac("10.0.0.1"));
  copy(value.mesh_mac, endpoint_mac("10.0.0.2"));
  value.host_cookie = host_cookie;
  value.flow_seed = 0x5eed;
  value.gateway_v4 = address("10.0.0.1");
  value.gateway_v6 = address("fd00::1");
  value.mesh_v4 = address("10.0.0.2");
  value.mesh_v6 = address("fd00::2");
  value.tick_shift = 8;
  value.more_selves = 1;
  value.endpoint_lines = kEndpointLines;
  value.backend_rows = kBackendRows;
  const mesh_address all = {{~0U, ~0U, ~0U, ~0U}};
  value.ingress_v4 = {address("10.0.0.0"), all};
  value.ingress_v4.mask.word[3] = mesh_be32(0xffff0000U);
  value.ingress_v6 = {address("fd00::"), {{~0U, ~0U, 0, 0}}};
  tables_.set("mesh_config", __u32{0}, value);
  const auto role = [&](const mesh_address& key, __u16 flags) {
    tables_.set("mesh_addresses", key, mesh_address_role{0, flags});
  };
  role(value.gateway_v4, MESH_ROLE_GATEWAY);
  role(value.gateway_v6, MESH_ROLE_GATEWAY);
  role(value.mesh_v4, MESH_ROLE_MESH);
  role(value.mesh_v6, MESH_ROLE_MESH);
  network(kIngressVni, "10.0.0.0", 112);
  network(kIngressVni, "fd00::", 64);
}

void World::node(const NodeRecord& record) {
  mesh_node value{};
  value.address = address(record.address);
  copy(value.next_hop, record.next_hop);
  copy(value.egress_mac, record.egress);
  value.ifindex = record.ifindex;
  value.inner_mtu = kInnerMtu;
  value.flags = static_cast<__u16>(MESH_NODE_VALID | (record.self ? MESH_NODE_SELF : 0));
  value.source = value.address;
  mesh_config settings{};
  const __u32 zero = 0;
  mesh_node self{};
  if (!record.self && tables_.get("mesh_config", &zero, &settings)) {
    const __u32 number = settings.self;
    if (tables_.get("mesh_nodes", &number, &self)) value.source = self.address;
  }
  tables_.set("mesh_nodes", __u32{record.number}, value);
  const mesh_address_role role{record.number, static_cast<__u16>(MESH_ROLE_NODE | (record.self ? MESH_ROLE_SELF : 0))};
  tables_.set("mesh_addresses", value.address, role);
  if (!record.v6.empty()) tables_.set("mesh_addresses", address(record.v6), role);
}

void World::service(__u8 protocol, __u16 port, const std::vector<BackendRecord>& backends,
                    const std::vector<__u8>& owners, __u32 version, __u8 flags) {
  mesh_service value{};
  value.backends = next_backend_;
  for (const BackendRecord& backend : backends) {
    mesh_backend record{};
    record.node = backend.node;
    record.binding = backend.binding;
    tables_.set("mesh_backends", next_backend_++, record);
  }
  value.ring = MESH_RING(next_chunk_, kRingLog2, MESH_RING_VALID, version);
  std::size_t next = 0;
  for (__u32 chunk = 0; chunk < (1u << kRingLog2) / 64; chunk++) {
    mesh_ring_chunk record{};
    for (__u8& slot : record.slot) {
      slot = static_cast<__u8>((owners.empty() ? MESH_SLOT_NONE : owners[next++ % owners.size()]) | flags);
    }
    tables_.set("mesh_rings", next_chunk_++, record);
  }
  tables_.set(services_of(protocol), __u32{MESH_SERVICE_INDEX(protocol, port)}, value);
}

void World::options(__u8 protocol, __u16 port, __u32 options) {
  const __u32 index = MESH_SERVICE_INDEX(protocol, port);
  mesh_service value{};
  tables_.get(services_of(protocol), &index, &value);
  value.options = options;
  tables_.set(services_of(protocol), index, value);
}

void World::bound(__u8 protocol, __u16 port, const std::string& address_text) {
  tables_.set("mesh_bound", mesh_bound{MESH_SERVICE_INDEX(protocol, port), address(address_text)}, __u32{0});
}

void World::allowed(__u8 protocol, __u16 port, const std::string& prefix, __u32 length) {
  tables_.set("mesh_allowed",
              mesh_allow{MESH_ALLOW_SERVICE_BITS + length, MESH_SERVICE_INDEX(protocol, port), address(prefix)},
              __u32{0});
}

void World::locals(__u8 protocol, __u16 port, const std::vector<__u16>& bindings) {
  mesh_local local{};
  for (const __u16 binding : bindings) local.binding[local.count++] = binding;
  tables_.set("mesh_locals", __u32{MESH_SERVICE_INDEX(protocol, port)}, local);
}

void World::rows(__u8 protocol, __u16 port, __u32 version, __u8 previous, const std::vector<__u16>& hosts) {
  mesh_row row{};
  row.previous = previous;
  row.count = static_cast<__u8>(hosts.size());
  for (std::size_t i = 0; i < hosts.size(); i++) row.host[i] = hosts[i];
  for (__u32 slot = 0; slot < (1u << kRingLog2); slot++) {
    tables_.set("mesh_rows", mesh_row_key{MESH_SERVICE_INDEX(protocol, port), version, slot}, row);
  }
}

void World::binding(__u16 index, const std::string& v4, const std::string& v6, __u32 ifindex, __u8 protocol,
                    __u16 published, __u16 target) {
  mesh_binding value{};
  value.v4 = address(v4).word[3];
  if (!v6.empty()) value.v6 = address(v6);
  value.ifindex = ifindex;
  copy(value.mac, endpoint_mac(v4));
  value.target_port = mesh_be16(target);
  value.published_port = mesh_be16(published);
  value.protocol = protocol;
  tables_.set("mesh_bindings", __u32{index}, value);
}

void World::endpoint(__u32 vni, const std::string& address_text, const std::string& ingress_v4, __u16 node,
                     __u32 ifindex, __u16 source_flags) {
  const mesh_address key = address(address_text);
  if (mesh_address_is_v4(&key)) {
    endpoint4({vni, key.word[3], ifindex != 0 ? ifindex : MESH_ENDPOINT_FAR | node, address(ingress_v4).word[3]});
  } else {
    mesh_endpoint value{};
    value.ifindex = ifindex;
    value.node = node;
    copy(value.mac, endpoint_mac(ingress_v4));
    tables_.set("mesh_endpoints", mesh_endpoint_key{vni, key}, value);
  }
  if (ifindex == 0) return;
  mesh_source source{};
  source.vni = vni;
  source.flags = source_flags;
  copy(source.mac, endpoint_mac(ingress_v4));
  tables_.set("mesh_sources", mesh_source_key{ifindex, address(address_text)}, source);
}

// On the first line of its sequence that has a place.
void World::endpoint4(const mesh_endpoint4& wanted) {
  mesh_probe probe = mesh_probe_first(wanted.network, wanted.address);
  for (__u32 i = 0; i < MESH_ENDPOINT_PROBES; ++i, mesh_probe_next(&probe)) {
    const __u32 number = mesh_probe_line(&probe, kEndpointLines);
    mesh_endpoint_line line{};
    tables_.get("mesh_endpoints4", &number, &line);
    for (mesh_endpoint4& entry : line.entry) {
      const __u32 network = entry.network & ~MESH_ENDPOINT_MORE;
      if (network != 0 && (network != wanted.network || entry.address != wanted.address)) continue;
      const __u32 more = entry.network & MESH_ENDPOINT_MORE;
      entry = wanted;
      entry.network |= more;
      tables_.set("mesh_endpoints4", number, line);
      return;
    }
    line.entry[0].network |= MESH_ENDPOINT_MORE;
    tables_.set("mesh_endpoints4", number, line);
  }
  std::abort();
}

void World::network(__u32 vni, const std::string& prefix, __u32 length) {
  tables_.set("mesh_networks", mesh_prefix{length, address(prefix)}, mesh_network{vni, 0});
  tables_.set("mesh_vnis", vni, __u32{0});
}

void World::vip(const std::string& address_text, __u32 vni, const std::vector<std::string>& backends) {
  const mesh_vip value{vni, next_vip_backend_, static_cast<__u32>(backends.size()), kVipService};
  for (const std::string& backend : backends) {
    tables_.set("mesh_vip_backends", next_vip_backend_++, address(backend));
  }
  tables_.set("mesh_vips", address(address_text), value);
}

void World::former(__u32 vni, const std::string& address_text, const std::string& vip_text, __u32 service) {
  tables_.set("mesh_formers", mesh_former_key{vni, address(address_text)}, mesh_former{address(vip_text), service});
}

void World::lead(const mesh_lead_key& key, const std::string& other_text) {
  tables_.set("mesh_leads", key, address(other_text));
  tables_.set("mesh_leading", __u32{0}, __u32{1});
}

void World::no_endpoint(__u32 vni, const std::string& address_text) {
  const mesh_endpoint_key key{vni, address(address_text)};
  if (!mesh_address_is_v4(&key.address)) return tables_.erase("mesh_endpoints", &key);
  for (__u32 number = 0; number < kEndpointLines; ++number) {
    mesh_endpoint_line line{};
    tables_.get("mesh_endpoints4", &number, &line);
    for (mesh_endpoint4& entry : line.entry) {
      const bool is_its = (entry.network & ~MESH_ENDPOINT_MORE) == vni && entry.address == key.address.word[3];
      if (is_its) entry.network &= MESH_ENDPOINT_MORE;
    }
    tables_.set("mesh_endpoints4", number, line);
  }
}

void World::member(__u64 cookie, __u32 ifindex, const std::vector<__u32>& vnis) {
  tables_.set("mesh_namespaces", cookie, ifindex);
  for (const __u32 vni : vnis) tables_.set("mesh_members", mesh_member{cookie, vni, 0}, __u32{1});
}

}  // namespace mesh::packet
