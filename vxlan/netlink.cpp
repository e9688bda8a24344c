#include "vxlan/netlink.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>

#include <fmt/format.h>

namespace mesh::vxlan {

Message::Message(std::uint16_t type, std::uint16_t flags) {
  nlmsghdr* header = mnl_nlmsg_put_header(buffer_.data());
  header->nlmsg_type = type;
  header->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
}

void Message::put(std::uint16_t type, const IpAddress& address) {
  if (address.is_v4()) {
    mnl_attr_put(raw(), type, 4, address.bytes().data() + 12);
  } else {
    mnl_attr_put(raw(), type, 16, address.bytes().data());
  }
}

Attributes::Attributes(const nlmsghdr* message, std::size_t header_size) {
  // libmnl's loop macros are C: they assign void*.
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, header_size));
  const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute)) {
    add(attribute);
  }
}

Attributes::Attributes(const nlattr* nested) {
  if (nested == nullptr) return;
  const auto* attribute = static_cast<const nlattr*>(mnl_attr_get_payload(nested));
  const char* end = reinterpret_cast<const char*>(attribute) + mnl_attr_get_payload_len(nested);
  for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute)) {
    add(attribute);
  }
}

void Attributes::add(const nlattr* attribute) {
  const std::uint16_t type = mnl_attr_get_type(attribute);
  if (type >= 128) return;  // no attribute that we read is numbered higher
  if (type >= by_type_.size()) by_type_.resize(type + 1U, nullptr);
  by_type_[type] = attribute;
}

const nlattr* Attributes::find(std::uint16_t type) const { return type < by_type_.size() ? by_type_[type] : nullptr; }

std::uint32_t Attributes::u32(std::uint16_t type, std::uint32_t absent) const {
  const nlattr* attribute = find(type);
  return attribute != nullptr && mnl_attr_get_payload_len(attribute) >= 4 ? mnl_attr_get_u32(attribute) : absent;
}

std::uint8_t Attributes::u8(std::uint16_t type, std::uint8_t absent) const {
  const nlattr* attribute = find(type);
  return attribute != nullptr && mnl_attr_get_payload_len(attribute) >= 1 ? mnl_attr_get_u8(attribute) : absent;
}

std::string Attributes::text(std::uint16_t type) const {
  const nlattr* attribute = find(type);
  if (attribute == nullptr) return {};
  const auto* data = static_cast<const char*>(mnl_attr_get_payload(attribute));
  return std::string(data, strnlen(data, mnl_attr_get_payload_len(attribute)));
}

MacAddress Attributes::mac(std::uint16_t type) const {
  MacAddress mac;
  const nlattr* attribute = find(type);
  if (attribute != nullptr && mnl_attr_get_payload_len(attribute) == mac.bytes.size()) {
    std::memcpy(mac.bytes.data(), mnl_attr_get_payload(attribute), mac.bytes.size());
  }
  return mac;
}

IpAddress Attributes::address(std::uint16_t type) const {
  const nlattr* attribute = find(type);
  if (attribute == nullptr) return {};
  const auto* data = static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute));
  if (mnl_attr_get_payload_len(attribute) == 4) {
    return IpAddress::v4(static_cast<std::uint32_t>(data[0]) << 24U | static_cast<std::uint32_t>(data[1]) << 16U |
                         static_cast<std::uint32_t>(data[2]) << 8U | data[3]);
  }
  IpAddress::Bytes bytes{};
  if (mnl_attr_get_payload_len(attribute) == bytes.size()) std::memcpy(bytes.data(), data, bytes.size());
  return IpAddress(bytes);
}

Result<NetlinkSocket> NetlinkSocket::open(int protocol) {
  mnl_socket* socket = mnl_socket_open2(protocol, SOCK_CLOEXEC);
  if (socket == nullptr) return fail_errno("netlink socket", errno);
  NetlinkSocket result(socket);
  int on = 1;
  // Best effort: without it errors are an errno's text only.
  (void)mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, &on, sizeof on);
  (void)mnl_socket_setsockopt(socket, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) return fail_errno("netlink socket: bind", errno);
  return result;
}

namespace {

// The kernel's sentence in an error answer, if it gave one.
std::string extended_message(const nlmsghdr* message) {
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
  std::size_t skip = sizeof(nlmsgerr);
  if ((message->nlmsg_flags & NLM_F_CAPPED) == 0 && error->error != 0) {
    skip += error->msg.nlmsg_len - sizeof(nlmsghdr);
  }
  if (mnl_nlmsg_get_payload_len(message) <= skip) return {};
  return Attributes(message, skip).text(NLMSGERR_ATTR_MSG);
}

}  // namespace

Status NetlinkSocket::exchange(Message& message, std::string_view what, const Handler& handler) {
  message.raw()->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_.get(), message.raw(), message.raw()->nlmsg_len) < 0) return fail_errno(what, errno);
  const bool is_dump = (message.raw()->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  const bool wants_ack = (message.raw()->nlmsg_flags & NLM_F_ACK) != 0;
  std::vector<char> buffer(32768);  // what the kernel uses at most for one part of a dump
  bool interrupted = false;
  while (true) {
    const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (size < 0) {
      if (errno == EINTR) continue;
      return fail_errno(what, errno);
    }
    int left = static_cast<int>(size);
    for (const auto* answer = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(answer, left);
         answer = mnl_nlmsg_next(answer, &left)) {
      if (answer->nlmsg_seq != sequence_) continue;
      interrupted = interrupted || (answer->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (answer->nlmsg_type == NLMSG_ERROR) {
        const int code = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer))->error;
        if (code == 0) return {};
        const std::string reason = extended_message(answer);
        return fail_errno(reason.empty() ? std::string(what) : fmt::format("{} ({})", what, reason), code);
      }
      if (answer->nlmsg_type == NLMSG_DONE) {
        if (interrupted) return fail_errno(what, EINTR);
        return {};
      }
      if (answer->nlmsg_type >= NLMSG_MIN_TYPE && handler) handler(answer);
      if (!is_dump && !wants_ack) return {};
    }
  }
}

Status NetlinkSocket::request(Message& message, std::string_view what) {
  message.raw()->nlmsg_flags |= NLM_F_ACK;
  return exchange(message, what, {});
}

Status NetlinkSocket::query(Message& message, std::string_view what, const Handler& handler) {
  return exchange(message, what, handler);
}

std::uint8_t family_of(const IpAddress& address) {
  return static_cast<std::uint8_t>(address.is_v4() ? AF_INET : AF_INET6);
}

std::uint8_t host_prefix(const IpAddress& address) { return address.is_v4() ? 32 : 128; }

}  // namespace mesh::vxlan
