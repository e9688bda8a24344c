// Rtnetlink: messages built and parsed with libmnl, one socket per network namespace. (libmnl alone does everything
// here: our requests are few and exact, and libnl's object caches would be a second way to do it.) Errors carry the
// kernel's own sentence (NETLINK_EXT_ACK) when it gives one. rtnetlink(7).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "base/address.h"
#include "base/result.h"

namespace mesh::vxlan {

// One request. Attributes are appended in order; nests are closed by their scope's end.
class Message {
 public:
  Message(std::uint16_t type, std::uint16_t flags);
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  // The family header that follows nlmsghdr (ifinfomsg, rtmsg …), zeroed; before any attribute.
  template <class Header>
  Header& header() {
    return *static_cast<Header*>(mnl_nlmsg_put_extra_header(raw(), sizeof(Header)));
  }
  void put(std::uint16_t type, std::uint8_t value) { mnl_attr_put_u8(raw(), type, value); }
  void put(std::uint16_t type, std::uint16_t value) { mnl_attr_put_u16(raw(), type, value); }
  void put(std::uint16_t type, std::uint32_t value) { mnl_attr_put_u32(raw(), type, value); }
  void put(std::uint16_t type, const std::string& value) { mnl_attr_put_strz(raw(), type, value.c_str()); }
  void put(std::uint16_t type, const MacAddress& mac) { mnl_attr_put(raw(), type, mac.bytes.size(), mac.bytes.data()); }
  // 4 or 16 bytes by the address's family.
  void put(std::uint16_t type, const IpAddress& address);
  void put_bytes(std::uint16_t type, const void* data, std::size_t size) { mnl_attr_put(raw(), type, size, data); }
  template <class Body>
  void nest(std::uint16_t type, Body body) {
    nlattr* start = mnl_attr_nest_start(raw(), type);
    body();
    mnl_attr_nest_end(raw(), start);
  }
  [[nodiscard]] nlmsghdr* raw() { return reinterpret_cast<nlmsghdr*>(buffer_.data()); }

 private:
  alignas(nlmsghdr) std::array<char, 2048> buffer_{};
};

// Attributes of a received message by type; valid while the message is. A type above what was asked for is ignored.
class Attributes {
 public:
  Attributes(const nlmsghdr* message, std::size_t header_size);
  explicit Attributes(const nlattr* nested);
  [[nodiscard]] const nlattr* find(std::uint16_t type) const;
  [[nodiscard]] std::uint32_t u32(std::uint16_t type, std::uint32_t absent = 0) const;
  [[nodiscard]] std::uint8_t u8(std::uint16_t type, std::uint8_t absent = 0) const;
  [[nodiscard]] std::string text(std::uint16_t type) const;
  [[nodiscard]] MacAddress mac(std::uint16_t type) const;
  [[nodiscard]] IpAddress address(std::uint16_t type) const;  // by the attribute's length; unset if absent

 private:
  void add(const nlattr* attribute);
  std::vector<const nlattr*> by_type_;
};

class NetlinkSocket {
 public:
  using Handler = std::function<void(const nlmsghdr*)>;

  // Bound to the calling thread's network namespace.
  [[nodiscard]] static Result<NetlinkSocket> open(int protocol = NETLINK_ROUTE);
  // Sends with NLM_F_ACK and waits for the answer; `what` opens the error message.
  [[nodiscard]] Status request(Message& message, std::string_view what);
  // Sends and gives every answering message to `handler` (a dump with NLM_F_DUMP, else one answer).
  [[nodiscard]] Status query(Message& message, std::string_view what, const Handler& handler);

 private:
  struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };
  explicit NetlinkSocket(mnl_socket* socket) : socket_(socket) {}
  [[nodiscard]] Status exchange(Message& message, std::string_view what, const Handler& handler);

  std::unique_ptr<mnl_socket, Close> socket_;
  std::uint32_t sequence_ = 0;
};

// AF_INET or AF_INET6, and the prefix length of a single address.
[[nodiscard]] std::uint8_t family_of(const IpAddress& address);
[[nodiscard]] std::uint8_t host_prefix(const IpAddress& address);

// The protocol number in routes and neighbour entries that are ours (iproute2's rt_protos leaves it free).
inline constexpr std::uint8_t kRouteProtocol = 77;

}  // namespace mesh::vxlan
