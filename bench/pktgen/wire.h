// The ways for probes onto an interface and for their answers back. Each is one file; what they send and how answers
// are counted is the same code (probe.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <string>

#include "base/result.h"
#include "bench/pktgen/frame.h"

namespace mesh::pktgen {

class Wire {
 public:
  Wire() = default;
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  virtual ~Wire() = default;

  // The most that send() is asked for at once.
  [[nodiscard]] virtual std::size_t burst() const = 0;
  // Sends that many probes; fewer where a queue is full. How many they were.
  [[nodiscard]] virtual Result<std::size_t> send(std::size_t count) = 0;
  // Takes the answers that wait, so that the queues do not run over. Never blocks.
  [[nodiscard]] virtual Status take() = 0;
  // All answers so far.
  [[nodiscard]] virtual Result<probe_counts> counts() = 0;
};

using WirePtr = std::unique_ptr<Wire>;

// BPF_PROG_TEST_RUN with live frames; answers are counted by an XDP program on the interface (kernel 5.18). The driver
// must take redirected frames: a veth's other end needs GRO or an XDP program.
[[nodiscard]] Result<WirePtr> open_live_frames(const Route& route, const Traffic& traffic);
// A packet socket: any interface. This host's kernel sees the answers too, and says that nobody listens.
[[nodiscard]] Result<WirePtr> open_af_packet(const Route& route, const Traffic& traffic);
// A device of DPDK: a PCI address, or a virtual device as "net_af_xdp,iface=eth0". Without a kernel on that side it
// answers ARP requests for the source and resets what a SYN opened. route.own unset: the device's. cpu: -1 for the
// first. kUnsupported if this program was built without DPDK.
[[nodiscard]] Result<WirePtr> open_dpdk(const std::string& device, Route route, const Traffic& traffic, int cpu);

// The clock of probes: that of bpf_ktime_get_ns().
inline std::uint64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace mesh::pktgen
