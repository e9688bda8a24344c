// DPDK: a card that it took from the kernel, or a virtual device over an interface that the kernel keeps (af_packet,
// af_xdp). One queue each way and one thread, as the other wires; no huge pages and no files, so that it runs beside
// everything.
#include <array>
#include <cstdlib>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <utility>
#include <vector>

#include "bench/pktgen/replies.h"
#include "bench/pktgen/wire.h"

namespace mesh::pktgen {
namespace {

constexpr std::uint16_t kBurst = 64;
constexpr std::uint16_t kDescriptors = 1024;
constexpr unsigned kBuffers = 16384;  // of both rings, and what is on its way; the rings of af_xdp are larger
constexpr unsigned kCache = 256;      // kept by the thread
constexpr const char* kMegabytes = "128";
constexpr int kBatchesAtOnce = 16;

struct FreePool {
  void operator()(rte_mempool* pool) const { rte_mempool_free(pool); }
};
using Pool = std::unique_ptr<rte_mempool, FreePool>;

class DpdkPort : public Wire {
 public:
  DpdkPort(std::uint16_t port, Pool pool, const probe_shape& shape, const Traffic& traffic)
      : port_(port),
        pool_(std::move(pool)),
        shape_(shape),
        ports_(traffic.ports),
        bytes_(static_cast<std::uint16_t>(traffic.bytes)) {}

  ~DpdkPort() override {
    rte_eth_dev_stop(port_);
    rte_eth_dev_close(port_);
    pool_.reset();
    rte_eal_cleanup();
  }

  std::size_t burst() const override { return kBurst; }

  Result<std::size_t> send(std::size_t count) override {
    std::array<rte_mbuf*, kBurst> buffers;
    // Empty: what was sent is still on its way.
    if (rte_pktmbuf_alloc_bulk(pool_.get(), buffers.data(), static_cast<unsigned>(count)) != 0) return std::size_t{0};
    const std::uint64_t now = now_ns();
    for (std::size_t i = 0; i < count; ++i) {
      auto* frame = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(buffers[i], bytes_));
      write_probe(frame, shape_, ports_[(next_ + i) % ports_.size()], now);
      std::memset(frame + PROBE_BYTES_MIN, 0, bytes_ - PROBE_BYTES_MIN);
    }
    const std::uint16_t sent = rte_eth_tx_burst(port_, 0, buffers.data(), static_cast<std::uint16_t>(count));
    for (std::size_t i = sent; i < count; ++i) rte_pktmbuf_free(buffers[i]);
    next_ += sent;
    return std::size_t{sent};
  }

  Status take() override {
    std::array<rte_mbuf*, kBurst> buffers;
    for (int batch = 0; batch < kBatchesAtOnce; ++batch) {
      const std::uint16_t got = rte_eth_rx_burst(port_, 0, buffers.data(), kBurst);
      const std::uint64_t now = now_ns();
      for (std::uint16_t i = 0; i < got; ++i) handle(buffers[i], now);
      if (got < kBurst) break;
    }
    return {};
  }

  Result<probe_counts> counts() override { return counts_; }

 private:
  // Takes the buffer.
  void handle(rte_mbuf* buffer, std::uint64_t now) {
    auto* frame = rte_pktmbuf_mtod(buffer, std::uint8_t*);
    const std::size_t bytes = buffer->data_len;
    __u64 elapsed = 0;
    const probe_kind kind = probe_answer(frame, frame + bytes, &shape_, now, &elapsed);
    probe_count(&counts_, kind, elapsed);
    const bool reply = kind == PROBE_FOREIGN ? reply_to_arp(frame, bytes, shape_)
                                             : kind == PROBE_ANSWERED && reset_opened(frame, bytes);
    if (!reply || rte_eth_tx_burst(port_, 0, &buffer, 1) != 1) rte_pktmbuf_free(buffer);
  }

  std::uint16_t port_;
  Pool pool_;
  probe_shape shape_;
  std::vector<std::uint16_t> ports_;
  std::uint16_t bytes_;
  std::size_t next_ = 0;
  probe_counts counts_{};
};

std::unexpected<Error> fail_dpdk(const std::string& what, int code) {
  return fail(ErrorKind::kUnsupported, what + ": " + rte_strerror(code < 0 ? -code : code));
}

// Once in a process. A virtual device is named with its driver, a card by its address.
Status start_dpdk(const std::string& device, int cpu) {
  const bool is_virtual = device.starts_with("net_");
  std::vector<std::string> words = {
      "mesh-pktgen",    "--no-shconf", "--no-huge", "-m",       kMegabytes,
      "--no-telemetry", "--log-level", "error",     "--lcores", "0@" + std::to_string(cpu < 0 ? 0 : cpu)};
  if (is_virtual) {
    const std::size_t comma = std::min(device.find(','), device.size());
    words.insert(words.end(), {"--no-pci", "--vdev", device.substr(0, comma) + "0" + device.substr(comma)});
  } else {
    words.insert(words.end(), {"-a", device});
  }
#ifdef MESH_DPDK_DRIVERS
  // Unpacked, not installed: neither drivers nor the program of af_xdp are where they look for them.
  words.insert(words.end(), {"-d", MESH_DPDK_DRIVERS});
  ::setenv("LIBXDP_OBJECT_PATH", MESH_DPDK_BPF, 0);
#endif
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  if (rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) < 0) {
    return fail_dpdk("start DPDK for " + device, rte_errno);
  }
  if (rte_eth_dev_count_avail() == 0) {
    return fail(ErrorKind::kNotFound,
                "DPDK found no device " + device + ": is it bound to vfio-pci, is its driver there?");
  }
  return {};
}

Status start_port(std::uint16_t port, const std::string& device, rte_mempool* pool) {
  const rte_eth_conf conf{};
  std::uint16_t receive = kDescriptors, transmit = kDescriptors;
  const int socket = rte_eth_dev_socket_id(port);
  const auto where = static_cast<unsigned>(socket < 0 ? 0 : socket);
  int code = rte_eth_dev_configure(port, 1, 1, &conf);
  if (code == 0) code = rte_eth_dev_adjust_nb_rx_tx_desc(port, &receive, &transmit);
  if (code == 0) code = rte_eth_rx_queue_setup(port, 0, receive, where, nullptr, pool);
  if (code == 0) code = rte_eth_tx_queue_setup(port, 0, transmit, where, nullptr);
  if (code == 0) code = rte_eth_dev_start(port);
  return code == 0 ? Status{} : fail_dpdk("start " + device, code);
}

}  // namespace

Result<WirePtr> open_dpdk(const std::string& device, Route route, const Traffic& traffic, int cpu) {
  constexpr std::uint16_t kPort = 0;
  TRY(start_dpdk(device, cpu));
  Pool pool(rte_pktmbuf_pool_create("probes", kBuffers, kCache, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY));
  if (!pool) return fail_dpdk("buffers of DPDK", rte_errno);
  if (route.own == MacAddress{}) {
    rte_ether_addr own{};
    if (const int code = rte_eth_macaddr_get(kPort, &own); code != 0)
      return fail_dpdk("MAC address of " + device, code);
    std::memcpy(route.own.bytes.data(), own.addr_bytes, route.own.bytes.size());
  }
  const probe_shape shape = TRY(make_shape(route, traffic));
  TRY(start_port(kPort, device, pool.get()));
  return std::make_unique<DpdkPort>(kPort, std::move(pool), shape, traffic);
}

}  // namespace mesh::pktgen
