// Desired values for tests of the data plane: small clusters made of numbers.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "dataplane/desired.h"

namespace mesh::dataplane::samples {

inline constexpr std::uint32_t kIngressVni = 4096;
inline constexpr std::uint32_t kUserVni = 4097;
inline constexpr std::uint32_t kInternalVni = 4098;

inline IpAddress ip(const std::string& text) { return IpAddress::parse(text).value(); }
inline Cidr cidr(const std::string& text) { return Cidr::parse(text).value(); }

// A ring whose slots go round `owners`.
inline Ring round_ring(std::uint32_t version, const std::vector<std::uint8_t>& owners, std::size_t slots = 256) {
  Ring ring;
  ring.version = version;
  if (owners.empty()) return ring;
  for (std::size_t slot = 0; slot < slots; ++slot) ring.owners.push_back(owners[slot % owners.size()]);
  return ring;
}

inline Endpoint endpoint(int number, std::uint16_t node, std::uint16_t self) {
  const std::string last = std::to_string(10 + number);
  Endpoint one{.task_id = "task" + std::to_string(number), .node = node, .ingress_v4 = ip("10.0.0." + last)};
  one.addresses = {
      {kIngressVni, one.ingress_v4}, {kIngressVni, ip("fd00:6d65::" + last)}, {kUserVni, ip("10.1.0." + last)}};
  if (node == self) {
    one.attachment = Attachment{.ifindex = 100U + static_cast<std::uint32_t>(number),
                                .netns_cookie = 5000U + static_cast<std::uint64_t>(number)};
  }
  return one;
}

// Host 1 of three; `tasks` endpoints spread over them, one published port with all of them as backends.
inline Desired cluster(int tasks) {
  Desired desired;
  desired.self = 1;
  desired.uplinks = {{.name = "up0",
                      .ifindex = 7,
                      .mac = MacAddress::parse("02:00:00:00:00:01").value(),
                      .mode = UplinkMode::kTc,
                      .addresses = {ip("192.168.7.11"), ip("fd07::11")},
                      .mtu = 1500}};
  for (std::uint16_t number = 1; number <= 3; ++number) {
    const IpAddress address = ip("192.168.7.1" + std::to_string(number));
    Node node{.number = number, .address = address, .addresses = {address}};
    if (number != 1) {
      node.ifindex = 7;
      node.source = ip("192.168.7.11");
      node.next_hop = MacAddress::parse("02:00:00:00:01:0" + std::to_string(number)).value();
      node.egress_mac = MacAddress::parse("02:00:00:00:00:01").value();
    }
    desired.nodes.push_back(node);
  }
  desired.networks = {
      {.vni = kIngressVni, .subnet_v4 = cidr("10.0.0.0/16"), .subnet_v6 = cidr("fd00:6d65::/64"), .ingress = true},
      {.vni = kUserVni, .subnet_v4 = cidr("10.1.0.0/24")}};
  desired.gateway_v4 = ip("10.0.0.1");
  desired.gateway_v6 = ip("fd00:6d65::1");
  desired.mesh_v4 = ip("10.0.0.2");
  desired.mesh_v6 = ip("fd00:6d65::2");
  desired.mesh_ifindex = 20;
  desired.mesh_peer_ifindex = 21;
  PublishedPort port{.service_id = "service1", .service_name = "web", .port = 8010};
  VirtualIp vip{.address = ip("10.1.0.2"), .vni = kUserVni, .service_id = "service1"};
  std::vector<std::uint8_t> owners;
  std::map<std::uint16_t, std::uint16_t> bindings;  // last on each node
  for (int number = 0; number < tasks; ++number) {
    const auto node = static_cast<std::uint16_t>(1 + number % 3);
    desired.endpoints.push_back(endpoint(number, node, 1));
    const std::uint16_t binding = ++bindings[node];
    port.backends.push_back({.node = node, .binding = binding});
    owners.push_back(static_cast<std::uint8_t>(number));
    vip.backends.push_back(desired.endpoints.back().addresses[2].address);
    if (node == 1) {
      desired.bindings.push_back(
          {.index = binding, .task_id = desired.endpoints.back().task_id, .published_port = 8010, .target_port = 80});
    }
  }
  port.ring = round_ring(1, owners);
  desired.ports = {port};
  desired.virtual_ips = {vip};
  return desired;
}

// Any change of a cluster: tasks come, drain and go, rings move, ports are published and withdrawn.
inline Desired random_change(std::mt19937& random) {
  Desired desired = cluster(static_cast<int>(random() % 40));
  if (random() % 3 == 0) desired.uplinks[0].mode = UplinkMode::kXdp;
  if (random() % 8 == 0) desired.uplinks.clear();
  if (random() % 4 == 0) desired.nodes.pop_back();
  if (random() % 4 == 0) desired.networks.push_back({kInternalVni, cidr("10.2.0.0/24"), {}, true, false});
  for (Endpoint& one : desired.endpoints) {
    if (random() % 10 == 0) one.state = EndpointState::kDraining;
    if (random() % 20 == 0) one.state = EndpointState::kGone;
    if (random() % 10 == 0) one.attachment.reset();
  }
  const PublishedPort first = desired.ports[0];
  desired.ports.clear();
  for (std::uint16_t number = 0; number < 6; ++number) {
    if (random() % 2 == 0) continue;
    PublishedPort port = first;
    port.port = static_cast<std::uint16_t>(8010 + number);
    port.protocol = std::array{Protocol::kTcp, Protocol::kUdp, Protocol::kSctp}.at(number % 3);
    port.service_id = "service" + std::to_string(number);
    port.ring.version = 1 + static_cast<std::uint32_t>(random() % 4);
    for (std::size_t i = random() % 60; i > 0 && !port.ring.owners.empty(); --i) {
      const auto slot = static_cast<std::uint16_t>(random() % port.ring.owners.size());
      port.ring.previous[slot] = port.ring.owners[slot];
      port.ring.owners[slot] = static_cast<std::uint8_t>(random() % port.backends.size());
      port.ring.foreign[slot] = {1, static_cast<std::uint16_t>(2 + random() % 3)};
    }
    desired.ports.push_back(port);
  }
  if (random() % 4 == 0) desired.virtual_ips.clear();
  if (!desired.virtual_ips.empty() && random() % 2 == 0 && !desired.virtual_ips[0].backends.empty()) {
    desired.virtual_ips[0].backends.pop_back();
  }
  return desired;
}

}  // namespace mesh::dataplane::samples
