#include "tests/packet/bpf/three_hosts.h"

#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

namespace mesh::packet {

void fill_three_hosts(World& world, __u32 uplink) {
  world.config(1, kMeshInterface);
  world.node({1, "192.0.2.1", kUplinkMac, kUplinkMac, uplink, true, "2001:db8::1"});
  world.node({2, "192.0.2.2", kNode2Mac, kUplinkMac, uplink, false, "2001:db8::2"});
  world.node({3, "192.0.2.3", kNode3Mac, kUplinkMac, uplink, false, "2001:db8::3"});
  world.node({4, "192.0.2.4", {}, kUplinkMac, 0, false, ""});
  world.network(4100, "10.1.0.0", 120);
  world.network(4100, "fd01::", 64);
  world.network(4101, "10.2.0.0", 120);
  for (const char* text : {"10.0.0.5", "fd00::5"}) world.endpoint(kIngressVni, text, "10.0.0.5", 1, kEndpointA);
  for (const char* text : {"10.1.0.5", "fd01::5"}) world.endpoint(4100, text, "10.0.0.5", 1, kEndpointA);
  world.endpoint(kIngressVni, "10.0.0.6", "10.0.0.6", 1, kEndpointB);
  world.endpoint(4100, "10.1.0.6", "10.0.0.6", 1, kEndpointB);
  world.endpoint(4101, "10.2.0.6", "10.0.0.6", 1, kEndpointB, MESH_SOURCE_NO_EXIT);
  world.endpoint(kIngressVni, "10.0.0.7", "10.0.0.7", 2, 0);
  world.endpoint(4100, "10.1.0.7", "10.0.0.7", 2, 0);
  world.endpoint(4100, "fd01::7", "10.0.0.7", 2, 0);
  world.vip("10.1.0.200", 4100, {"10.1.0.6", "10.1.0.7"});
  world.vip("fd01::200", 4100, {"fd01::7"});
  world.vip("10.2.0.200", 4101, {"10.2.0.6"});
  for (const __u8 protocol : {__u8{6}, __u8{17}}) {
    const auto base = static_cast<__u16>(protocol == 6 ? 0 : 10);
    const auto own = [&](__u16 index, __u16 port, const char* v6 = "fd00::5") {
      world.binding(static_cast<__u16>(base + index), "10.0.0.5", v6, kEndpointA, protocol, port, 80);
    };
    const auto on = [&](__u16 node, __u16 index) { return BackendRecord{node, static_cast<__u16>(base + index)}; };
    world.service(protocol, 8001, {on(1, 1)}, {0});
    own(1, 8001);
    world.service(protocol, 8002, {on(2, 7)}, {0});
    world.service(protocol, 8003, {}, {});
    world.service(protocol, 8004, {on(4, 1)}, {0});
    world.service(protocol, 8005, {on(1, 2), on(2, 8), on(3, 9)}, {0}, kMovedVersion, MESH_SLOT_MOVED);
    world.rows(protocol, 8005, kMovedVersion, MESH_SLOT_NONE, {2, 3});
    own(2, 8005);
    world.service(protocol, 8006, {on(1, 3), on(2, 8)}, {0}, kMovedVersion, MESH_SLOT_MOVED);
    world.rows(protocol, 8006, kMovedVersion, 1, {2});
    own(3, 8006);
    world.service(protocol, 8007, {on(2, 8), on(1, 4)}, {0}, kMovedVersion, MESH_SLOT_MOVED);
    world.rows(protocol, 8007, kMovedVersion, MESH_SLOT_NONE, {1, 3});
    own(4, 8007);
    world.service(protocol, 8008, {on(1, 5)}, {0});
    own(5, 8008, "");
  }
  world.service(132, 8001, {{1, kSctpBinding}}, {0});
  world.binding(kSctpBinding, "10.0.0.5", "fd00::5", kEndpointA, 132, 8001, 8001);
  world.service(132, 8002, {{2, 27}}, {0});
  world.service(132, 8003, {}, {});
}

void fill_options(World& world) {
  const auto own = [&](__u16 index, __u16 port) {
    world.binding(index, "10.0.0.5", "fd00::5", kEndpointA, 6, port, 80);
  };
  world.service(6, kDirect, {{1, kDirectBinding}}, {0});
  world.options(6, kDirect, MESH_OPTIONS(MESH_SERVICE_DIRECT, 0));
  own(kDirectBinding, kDirect);
  world.service(6, kAllow, {{2, 7}}, {0});
  world.options(6, kAllow, MESH_OPTIONS(MESH_SERVICE_ALLOW, 0));
  world.allowed(6, kAllow, "192.0.2.8", 96 + 29);
  world.service(6, kBound, {{2, 7}}, {0});
  world.options(6, kBound, MESH_OPTIONS(MESH_SERVICE_BOUND, 0));
  world.bound(6, kBound, "192.0.2.1");
  world.service(6, kNoEntry, {{1, kNoEntryBinding}}, {0});
  world.options(6, kNoEntry, MESH_OPTIONS(MESH_SERVICE_NO_ENTRY, 0));
  own(kNoEntryBinding, kNoEntry);
  // The owner is here, hosts 2 and 3 may know flows.
  world.service(6, kAffinity, {{1, kOwnerBinding}, {1, kKeptBinding}}, {0}, kMovedVersion, MESH_SLOT_MOVED);
  world.rows(6, kAffinity, kMovedVersion, MESH_SLOT_NONE, {2, 3});
  world.options(6, kAffinity, MESH_OPTIONS(0, kAffinityTicks));
  own(kKeptBinding, kAffinity);
  own(kOwnerBinding, kAffinity);
  // The owner is on 2, host 3 may know flows; a backend is here.
  world.service(6, kLocal, {{2, 8}, {1, kLocalBinding}}, {0}, kMovedVersion, MESH_SLOT_MOVED);
  world.rows(6, kLocal, kMovedVersion, MESH_SLOT_NONE, {3});
  world.options(6, kLocal, MESH_OPTIONS(MESH_SERVICE_LOCAL, 0));
  world.locals(6, kLocal, {kLocalBinding});
  own(kLocalBinding, kLocal);
}

int code(const std::string& program, Verdict verdict) {
  const bool xdp = program == "mesh_uplink_xdp";
  switch (verdict) {
    case Verdict::kPass:
      return xdp ? XDP_PASS : TC_ACT_OK;
    case Verdict::kDrop:
      return xdp ? XDP_DROP : TC_ACT_SHOT;
    case Verdict::kRedirect:
      break;
  }
  return xdp ? XDP_REDIRECT : TC_ACT_REDIRECT;
}

std::string hex(const Bytes& bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i++) text += fmt::format("{}{:02x}", i % 16 == 0 ? "\n" : " ", bytes[i]);
  return text;
}

Frame from_client(__u8 protocol, __u16 port, bool v6) {
  Frame frame;
  frame.destination = kUplinkMac;
  frame.source = kClientMac;
  frame.from = v6 ? "2001:db8::9" : "192.0.2.9";
  frame.to = v6 ? "2001:db8::1" : "192.0.2.1";
  frame.protocol = protocol;
  frame.source_port = 40000;
  frame.destination_port = port;
  frame.tcp_flags = 0x02;
  return frame;
}

Frame from_node2(__u8 protocol, __u16 port, __u16 binding, bool v6) {
  Frame frame = from_client(protocol, port, v6);
  frame.to = v6 ? "2001:db8::2" : "192.0.2.2";
  frame.ttl = 63;
  frame.tunnel = Tunnel{.from = "192.0.2.2",
                        .to = "192.0.2.1",
                        .source = kNode2Mac,
                        .destination = kUplinkMac,
                        .binding = binding,
                        .entry = 2,
                        .stop = 1};
  return frame;
}

Frame delivered_to_a(const Frame& sent, __u16 target_port) {
  Frame frame = sent;
  frame.tunnel.reset();
  frame.destination = endpoint_mac("10.0.0.5");
  frame.source = endpoint_mac("10.0.0.1");
  frame.to = sent.from.find(':') == std::string::npos ? "10.0.0.5" : "fd00::5";
  frame.destination_port = target_port;
  if (!sent.tunnel.has_value()) frame.ttl--;
  return frame;
}

Tunnel to_node2() {
  return {.from = "192.0.2.1", .to = "192.0.2.2", .source = kUplinkMac, .destination = kNode2Mac, .entry = 1};
}

Tunnel forward_to_node2(__u16 binding) {
  Tunnel tunnel = to_node2();
  tunnel.binding = binding;
  tunnel.stop = 2;
  return tunnel;
}

Tunnel overlay_to_node2(__u32 vni) {
  Tunnel tunnel = to_node2();
  tunnel.kind = MESH_KIND_OVERLAY;
  tunnel.vni = vni;
  tunnel.version = 0;
  return tunnel;
}

Tunnel reply_to_node2() {
  Tunnel tunnel = to_node2();
  tunnel.kind = MESH_KIND_REPLY;
  tunnel.version = 0;
  return tunnel;
}

Frame from_a(const std::string& source, const std::string& destination, __u8 protocol, __u16 source_port,
             __u16 destination_port) {
  Frame frame;
  frame.destination = endpoint_mac("10.0.0.1");
  frame.source = endpoint_mac("10.0.0.5");
  frame.from = source;
  frame.to = destination;
  frame.protocol = protocol;
  frame.source_port = source_port;
  frame.destination_port = destination_port;
  return frame;
}

}  // namespace mesh::packet
