#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/socket.h>
#include <vector>

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "base/fd.h"
#include "bench/pktgen/wire.h"

namespace mesh::pktgen {
namespace {

constexpr std::size_t kBurst = 64;
constexpr std::size_t kSeenBytes = 64;   // of an answer
constexpr int kReceiveBytes = 64 << 20;  // while a burst is sent, answers wait
constexpr int kBatchesAtOnce = 16;       // of answers, then it is sending's turn again

class PacketSocket : public Wire {
 public:
  PacketSocket(Fd fd, const Route& route, const probe_shape& shape, const Traffic& traffic)
      : fd_(std::move(fd)),
        interface_(route.interface),
        shape_(shape),
        ports_(traffic.ports),
        bytes_(traffic.bytes),
        frames_(kBurst * traffic.bytes),
        seen_(kBurst * kSeenBytes) {
    for (std::size_t i = 0; i < kBurst; ++i) {
      out_parts_[i] = {frames_.data() + i * bytes_, bytes_};
      out_[i].msg_hdr.msg_iov = &out_parts_[i];
      in_parts_[i] = {seen_.data() + i * kSeenBytes, kSeenBytes};
      in_[i].msg_hdr.msg_iov = &in_parts_[i];
      out_[i].msg_hdr.msg_iovlen = in_[i].msg_hdr.msg_iovlen = 1;
    }
  }

  std::size_t burst() const override { return kBurst; }

  Result<std::size_t> send(std::size_t count) override {
    const std::uint64_t now = now_ns();
    for (std::size_t i = 0; i < count; ++i) {
      write_probe(frames_.data() + i * bytes_, shape_, ports_[(next_ + i) % ports_.size()], now);
    }
    const int sent = ::sendmmsg(fd_.get(), out_.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
    if (sent < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
      return fail_errno("send on " + interface_, errno);
    }
    next_ += static_cast<std::size_t>(std::max(sent, 0));
    return static_cast<std::size_t>(std::max(sent, 0));
  }

  Status take() override {
    for (int batch = 0; batch < kBatchesAtOnce; ++batch) {
      const int got = ::recvmmsg(fd_.get(), in_.data(), kBurst, MSG_DONTWAIT, nullptr);
      if (got < 0 && errno != EAGAIN && errno != EINTR) return fail_errno("receive on " + interface_, errno);
      const std::uint64_t now = now_ns();
      for (int i = 0; i < got; ++i) count(static_cast<std::size_t>(i), now);
      if (got < static_cast<int>(kBurst)) break;
    }
    return {};
  }

  Result<probe_counts> counts() override { return counts_; }

 private:
  void count(std::size_t i, std::uint64_t now) {
    const std::uint8_t* frame = seen_.data() + i * kSeenBytes;
    __u64 elapsed = 0;
    const probe_kind kind = probe_answer(frame, frame + in_[i].msg_len, &shape_, now, &elapsed);
    probe_count(&counts_, kind, elapsed);
  }

  Fd fd_;
  std::string interface_;
  probe_shape shape_;
  std::vector<std::uint16_t> ports_;
  std::size_t bytes_;
  std::size_t next_ = 0;
  std::vector<std::uint8_t> frames_, seen_;
  std::array<iovec, kBurst> out_parts_{}, in_parts_{};
  std::array<mmsghdr, kBurst> out_{}, in_{};
  probe_counts counts_{};
};

Result<Fd> open_socket(const Route& route) {
  Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("packet socket (root is needed)", errno);
  const int on = 1;
  // What leaves is not heard again (kernel 4.20); neither that nor passing by the queueing discipline is needed.
  (void)::setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
  (void)::setsockopt(fd.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof kReceiveBytes);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = mesh_be16(ETH_P_IP);
  address.sll_ifindex = static_cast<int>(route.ifindex);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("packet socket on " + route.interface, errno);
  }
  return fd;
}

}  // namespace

Result<WirePtr> open_af_packet(const Route& route, const Traffic& traffic) {
  const probe_shape shape = TRY(make_shape(route, traffic));
  return std::make_unique<PacketSocket>(TRY(open_socket(route)), route, shape, traffic);
}

}  // namespace mesh::pktgen
