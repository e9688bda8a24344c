#include "bench/packet_cases.h"

#include <utility>

namespace mesh::bench {
namespace {

constexpr int kRedirected = 4, kPassed = 2, kTcRedirected = 7;
constexpr std::pair<const char*, Vary> kOne = {", 1 flow", kOneFlow};
constexpr std::pair<const char*, Vary> kMany = {", 64 Ki flows", kManyFlows};
constexpr std::pair<const char*, Vary> kNew = {", all new", kAllNew};

class Cases {
 public:
  Cases(const MeshObject& mesh, const FloorObject& floor, const HarnessObject& harness)
      : mesh_(mesh->progs), floor_(floor->progs.floor_xdp), room_(harness->progs.room_tc) {}

  std::vector<Case> all() {
    entry();
    backend();
    reply();
    room();
    overlay();
    return std::move(cases_);
  }

 private:
  using Programs = decltype(mesh_bpf::progs);

  Traffic to_uplink(const Frame& frame, Vary vary, Size size) const {
    return {.program = mesh_.mesh_uplink_xdp, .frame = frame, .vary = vary, .expected = kRedirected, .size = size};
  }
  Traffic to_uplink_tc(const Frame& frame, Vary vary) const {
    Traffic traffic = to_uplink(frame, vary, Size::kOneByOne);
    traffic.program = mesh_.mesh_uplink_tc;
    traffic.xdp = false;
    traffic.expected = kTcRedirected;
    return traffic;
  }
  Traffic from_endpoint(const Frame& frame, Vary vary, Size size) const {
    Traffic traffic = to_uplink_tc(frame, vary);
    traffic.program = mesh_.mesh_endpoint_tc;
    traffic.size = size;
    return traffic;
  }

  void add(std::string name, const Traffic& traffic, std::vector<Traffic> before = {}) {
    cases_.push_back({.name = std::move(name), .traffic = traffic, .before = std::move(before)});
  }

  void entry() {
    const Frame frame = client_frame(Family::kV4, kTcp, kAck, kRemotePort);
    Traffic other = to_uplink(other_frame(), kManyFlows, Size::kKept);
    other.expected = kPassed;
    add("not ours, passed", other);
    for (const auto& [suffix, vary] : {kOne, kMany, kNew}) {
      Traffic floor = to_uplink(frame, vary, Size::kGrows);
      floor.program = floor_;
      add(std::string("floor") + suffix, floor);
      add(std::string("entry") + suffix, to_uplink(frame, vary, Size::kGrows));
    }
    const Frame v6 = client_frame(Family::kV6, kTcp, kAck, kRemotePort);
    const Frame udp = client_frame(Family::kV4, kUdp, 0, kRemotePort);
    for (const auto& [suffix, vary] : {kOne, kMany}) {
      add(std::string("entry IPv6") + suffix, to_uplink(v6, vary, Size::kGrows));
      add(std::string("entry UDP") + suffix, to_uplink(udp, vary, Size::kGrows));
    }
    const Frame moved = client_frame(Family::kV4, kTcp, kAck, kMovedPort);
    add("entry, 10 % of slots moved", to_uplink(moved, kManyFlows, Size::kGrows));
    const Frame many = client_frame(Family::kV4, kTcp, kAck, kManyFirst);
    for (const auto& [suffix, services] :
         {std::pair{", 1,000 services", 1000U}, std::pair{", 10,000 services", kServicesMany}}) {
      Traffic traffic = to_uplink(many, kManyFlows, Size::kGrows);
      traffic.services = services;
      add(std::string("entry") + suffix, traffic);
      traffic.program = floor_;
      add(std::string("floor") + suffix, traffic);
    }
    for (const auto& [suffix, vary] : {kOne, kMany})
      add(std::string("entry by tc") + suffix, to_uplink_tc(frame, vary));
  }

  // A handshake's packets, so that the flows that follow are established.
  std::vector<Traffic> handshake(Vary vary) const {
    return {to_uplink(tunnel_frame(Family::kV4, kTcp, kSyn), vary, Size::kShrinks),
            to_uplink(tunnel_frame(Family::kV4, kTcp, kAck), vary, Size::kShrinks)};
  }

  void backend() {
    const Frame data = tunnel_frame(Family::kV4, kTcp, kAck);
    const Frame begin = tunnel_frame(Family::kV4, kTcp, kSyn);
    for (const auto& [suffix, vary] : {kOne, kMany}) {
      add(std::string("backend") + suffix, to_uplink(data, vary, Size::kShrinks), handshake(vary));
    }
    Traffic moved = to_uplink(data, kManyFlows, Size::kShrinks);
    moved.moved_percent = 10;
    add("backend, 10 % of slots moved", moved, handshake(kManyFlows));
    // Each flow begins once: 64 Ki packets are all that there are to measure.
    add("backend SYN with insert, 64 Ki flows", to_uplink(begin, kManyFlows, Size::kShrinks));
    cases_.back().fresh_flows = true;
    cases_.back().packets = kFlows;
    add("backend SYN with insert, all new", to_uplink(begin, kAllNew, Size::kShrinks));
    for (const auto& [suffix, vary] : {kOne, kMany}) {
      add(std::string("backend by tc") + suffix, to_uplink_tc(data, vary), handshake(vary));
    }
  }

  void reply() {
    const Frame both = client_frame(Family::kV4, kTcp, kSyn, kBothPort);
    for (const auto& [suffix, vary] : {kOne, kMany}) {
      add(std::string("reply from the entry host") + suffix, from_endpoint(reply_frame(false), vary, Size::kKept),
          {to_uplink(both, vary, Size::kKept)});
      cases_.back().fresh_flows = true;
    }
    // The same in the way that the next must be measured, to tell what that costs.
    for (const auto& [suffix, vary] : {kOne, kMany}) {
      add(std::string("reply from the entry host, one by one") + suffix,
          from_endpoint(reply_frame(false), vary, Size::kOneByOne), {to_uplink(both, vary, Size::kKept)});
      cases_.back().fresh_flows = true;
    }
    for (const auto& [suffix, vary] : {kOne, kMany}) {
      add(std::string("reply to another host") + suffix, from_endpoint(reply_frame(true), vary, Size::kOneByOne),
          handshake(vary));
      cases_.back().fresh_flows = true;
    }
  }

  // What encapsulating costs more one by one than in a burst.
  void room() {
    Traffic traffic = to_uplink_tc(client_frame(Family::kV4, kTcp, kAck, kRemotePort), kOneFlow);
    traffic.program = room_;
    add("room for a header made and taken back, one by one", traffic);
    traffic.size = Size::kKept;
    add("room for a header made and taken back", traffic);
  }

  void overlay() {
    add("overlay out", from_endpoint(overlay_out_frame(), kManyFlows, Size::kOneByOne));
    add("overlay in", to_uplink(overlay_in_frame(), kManyFlows, Size::kShrinks));
    add("overlay in by tc", to_uplink_tc(overlay_in_frame(), kManyFlows));
  }

  const Programs& mesh_;
  const bpf_program* floor_;
  const bpf_program* room_;
  std::vector<Case> cases_;
};

}  // namespace

std::vector<Case> packet_cases(const MeshObject& mesh, const FloorObject& floor, const HarnessObject& harness) {
  return Cases(mesh, floor, harness).all();
}

}  // namespace mesh::bench
