#include "bench/pktgen/echo.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <netinet/in.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <vector>

#include "base/fd.h"
#include "bench/pktgen/probe.h"
#include "bench/pktgen/wire.h"

namespace mesh::pktgen {
namespace {

constexpr std::size_t kBatch = 64;
constexpr int kBufferBytes = 16 << 20;
constexpr int kPollMs = 100;  // how late it hears of the end

Result<Fd> open_socket(std::uint16_t port) {
  Fd fd(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket", errno);
  // More than the system's limit needs root; without it bursts are lost sooner.
  for (const int option : {SO_RCVBUF, SO_RCVBUFFORCE}) {
    (void)::setsockopt(fd.get(), SOL_SOCKET, option, &kBufferBytes, sizeof kBufferBytes);
  }
  // The answer's source is the address that was asked: a task has several.
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("listen on UDP port " + std::to_string(port), errno);
  }
  const int on = 1;
  if (::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) != 0) return fail_errno("socket", errno);
  return fd;
}

// One batch of datagrams, each with its sender and the address that it came to: what an answer needs, in the same
// place.
struct Batch {
  struct alignas(cmsghdr) Control {
    std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> bytes;
  };

  Batch() : data(kBatch * PROBE_BYTES_MAX) {}

  void prepare() {
    for (std::size_t i = 0; i < kBatch; ++i) {
      parts[i] = {data.data() + i * PROBE_BYTES_MAX, PROBE_BYTES_MAX};
      messages[i].msg_hdr = {.msg_name = &senders[i],
                             .msg_namelen = sizeof senders[i],
                             .msg_iov = &parts[i],
                             .msg_iovlen = 1,
                             .msg_control = &controls[i],
                             .msg_controllen = sizeof controls[i],
                             .msg_flags = 0};
    }
  }

  // Where it came in is no matter for where it goes out.
  void turn_round(std::size_t i) {
    parts[i].iov_len = messages[i].msg_len;
    for (cmsghdr* part = CMSG_FIRSTHDR(&messages[i].msg_hdr); part != nullptr;
         part = CMSG_NXTHDR(&messages[i].msg_hdr, part)) {
      if (part->cmsg_level != IPPROTO_IPV6 || part->cmsg_type != IPV6_PKTINFO) continue;
      reinterpret_cast<in6_pktinfo*>(CMSG_DATA(part))->ipi6_ifindex = 0;
    }
  }

  std::vector<std::uint8_t> data;
  std::array<iovec, kBatch> parts{};
  std::array<sockaddr_in6, kBatch> senders{};
  std::array<Control, kBatch> controls{};
  std::array<mmsghdr, kBatch> messages{};
};

// What cannot be sent is lost, as it would be on a wire.
std::uint64_t answer(const Fd& fd, Batch& batch, std::size_t count) {
  std::uint64_t answered = 0;
  for (std::size_t i = 0; i < count; ++i) batch.turn_round(i);
  for (std::size_t done = 0; done < count;) {
    const int sent = ::sendmmsg(fd.get(), batch.messages.data() + done, static_cast<unsigned>(count - done), 0);
    answered += sent > 0 ? static_cast<std::uint64_t>(sent) : 0;
    done += sent > 0 ? static_cast<std::size_t>(sent) : 1;
  }
  return answered;
}

}  // namespace

Result<EchoFigures> echo(std::uint16_t port, double seconds, const volatile std::sig_atomic_t& stopped) {
  const Fd fd = TRY(open_socket(port));
  Batch batch;
  EchoFigures figures;
  const std::uint64_t begun = now_ns();
  const auto end = seconds > 0 ? begun + static_cast<std::uint64_t>(seconds * 1e9) : UINT64_MAX;
  std::uint64_t first = 0, last = 0;
  std::fputs("ready\n", stderr);
  while (stopped == 0 && now_ns() < end) {
    pollfd waiting{.fd = fd.get(), .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, kPollMs) <= 0) continue;
    batch.prepare();
    const int got = ::recvmmsg(fd.get(), batch.messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (got <= 0) continue;
    last = now_ns();
    if (first == 0) first = last;
    figures.received += static_cast<std::uint64_t>(got);
    figures.answered += answer(fd, batch, static_cast<std::size_t>(got));
  }
  figures.seconds = static_cast<double>(last - first) / 1e9;
  return figures;
}

}  // namespace mesh::pktgen
