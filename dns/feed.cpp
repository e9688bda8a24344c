#include "dns/feed.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

namespace mesh::dns {
namespace {

constexpr timeval kTimeout{.tv_sec = 1, .tv_usec = 0};

Result<Fd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(ErrorKind::kInvalid, "mesh-dns socket path is too long: " + path);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket", errno);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kTimeout, sizeof(kTimeout));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kTimeout, sizeof(kTimeout));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail(ErrorKind::kUnavailable, "no mesh-dns at " + path + ": " + std::strerror(errno));
  }
  return fd;
}

Status send_all(int fd, std::span<const char> data) {
  while (!data.empty()) {
    const ssize_t sent = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return fail_errno("send to mesh-dns", errno);
    data = data.subspan(static_cast<std::size_t>(sent));
  }
  return {};
}

Status receive_all(int fd, std::span<char> data) {
  while (!data.empty()) {
    const ssize_t got = ::recv(fd, data.data(), data.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) return fail(ErrorKind::kUnavailable, "mesh-dns closed the connection without an answer");
    if (got < 0) return fail_errno("receive from mesh-dns", errno);
    data = data.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

Result<ServerState> ask(const std::string& path, const std::string& text) {
  const Fd fd = TRY(connect_to(path));
  const auto size = static_cast<std::uint32_t>(text.size());
  const std::array<char, 4> prefix = {static_cast<char>(size >> 24U), static_cast<char>(size >> 16U),
                                      static_cast<char>(size >> 8U), static_cast<char>(size)};
  TRY(send_all(fd.get(), prefix));
  TRY(send_all(fd.get(), text));
  std::array<unsigned char, 4> length{};
  TRY(receive_all(fd.get(), {reinterpret_cast<char*>(length.data()), length.size()}));
  const std::size_t bytes =
      (std::size_t{length[0]} << 24U) | (std::size_t{length[1]} << 16U) | (std::size_t{length[2]} << 8U) | length[3];
  if (bytes > kFeedBytesMax) return fail(ErrorKind::kInternal, "mesh-dns answered with an oversized frame");
  std::string reply(bytes, '\0');
  TRY(receive_all(fd.get(), reply));
  return decode_text<ServerState>(reply);
}

}  // namespace

Result<ServerState> feed(const std::string& path, const Desired& desired) {
  const std::string text = to_text(encode(desired));
  if (text.size() > kFeedBytesMax) {
    return fail(ErrorKind::kExhausted, "the names of this host exceed the limit of " + std::to_string(kFeedBytesMax) +
                                           " bytes for mesh-dns; it keeps its last table");
  }
  return ask(path, text);
}

Result<ServerState> ask_state(const std::string& path) { return ask(path, "null"); }

}  // namespace mesh::dns
