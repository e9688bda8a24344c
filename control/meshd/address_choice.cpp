#include "control/meshd/address_choice.h"

#include <arpa/inet.h>
#include <cstring>
#include <ifaddrs.h>
#include <memory>
#include <net/if.h>
#include <netinet/in.h>

#include <boost/asio.hpp>
#include <fmt/format.h>

#include "base/text.h"
#include "control/agent/agent.h"
#include "control/meshd/options.h"

namespace mesh::meshd {
namespace {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;

struct InterfaceAddress {
  std::string name;
  IpAddress address;
};

IpAddress from_sockaddr(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    return IpAddress::v4(ntohl(v4.sin_addr.s_addr));
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, address, sizeof v6);
  IpAddress::Bytes bytes{};
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  return IpAddress(bytes);
}

// What docker's clients send for "not said".
constexpr std::string_view kDockerListenDefault = "0.0.0.0:2377";

bool is_link_local(const IpAddress& address) {
  return !address.is_v4() && address.bytes()[0] == 0xfe && (address.bytes()[1] & 0xc0) == 0x80;
}

std::vector<InterfaceAddress> own_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  std::vector<InterfaceAddress> addresses;
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    const bool ip =
        at->ifa_addr != nullptr && (at->ifa_addr->sa_family == AF_INET || at->ifa_addr->sa_family == AF_INET6);
    if (ip) addresses.push_back({at->ifa_name, from_sockaddr(at->ifa_addr)});
  }
  return addresses;
}

// An address with or without port, or an interface with or without port.
Result<SocketAddress> parse_address_or_interface(const std::string& text, std::uint16_t default_port) {
  const Result<SocketAddress> address = SocketAddress::parse(text, default_port);
  if (address) return address;
  const std::size_t colon = text.rfind(':');
  const std::string name = text.substr(0, colon);
  if (name.size() >= IFNAMSIZ || ::if_nametoindex(name.c_str()) == 0) {
    return fail(ErrorKind::kInvalid, fmt::format("\"{}\" is neither an address nor an interface of this host", text));
  }
  SocketAddress result{TRY(address_of_interface(name)), default_port};
  if (colon != std::string::npos) {
    const auto port = parse_number<std::uint16_t>(std::string_view(text).substr(colon + 1));
    if (!port || *port == 0) return fail(ErrorKind::kInvalid, fmt::format("\"{}\": the port is not 1-65535", text));
    result.port = *port;
  }
  return result;
}

}  // namespace

Result<IpAddress> address_of_interface(const std::string& name) {
  IpAddress found;
  for (const auto& [interface, address] : own_addresses()) {
    if (interface != name || is_link_local(address)) continue;
    if (address.is_v4()) return address;
    if (found.is_unset()) found = address;
  }
  if (found.is_unset()) return fail(ErrorKind::kNotFound, "interface " + name + " has no usable address");
  return found;
}

bool is_own_address(const IpAddress& address) {
  for (const auto& [interface, own] : own_addresses()) {
    if (own == address) return true;
  }
  return false;
}

Result<SocketAddress> choose_listen(const std::string& requested, const std::string& configured) {
  const std::string& text = requested.empty() || requested == kDockerListenDefault ? configured : requested;
  return TRY_IN("listen address", parse_address_or_interface(text, kClusterPort));
}

Result<SocketAddress> choose_advertise(const std::string& requested, const std::string& configured,
                                       const agent::Agent& agent, std::uint16_t default_port) {
  const std::string& text = requested.empty() ? configured : requested;
  SocketAddress address{agent.address(), default_port};
  if (!text.empty()) address = TRY_IN("advertise address", parse_address_or_interface(text, default_port));
  if (address.ip.is_unspecified()) {
    return fail(ErrorKind::kInvalid,
                "cannot choose this host's address in the cluster: specify one with --advertise-addr");
  }
  if (!is_own_address(address.ip)) {
    return fail(ErrorKind::kInvalid,
                fmt::format("advertise address {}: no interface of this host has it", address.ip.to_string()));
  }
  if (!agent.address().is_unset() && address.ip != agent.address()) {
    return fail(ErrorKind::kInvalid,
                fmt::format("advertise address {}: the data plane of this host uses {}; start meshd with "
                            "--advertise-addr {} to use the other one",
                            address.ip.to_string(), agent.address().to_string(), address.ip.to_string()));
  }
  return address;
}

void resolve_managers(asio::io_context& loop, const std::vector<std::string>& addresses, std::uint16_t default_port,
                      std::function<void(Result<std::vector<SocketAddress>>)> done) {
  struct State {
    explicit State(asio::io_context& io) : resolver(io) {}
    Tcp::resolver resolver;
    std::vector<SocketAddress> found;
    std::vector<std::pair<std::string, std::uint16_t>> names;
    std::function<void(Result<std::vector<SocketAddress>>)> done;

    static void next(const std::shared_ptr<State>& state) {
      if (state->names.empty()) return state->done(state->found);
      const auto last = state->names.back();
      state->names.pop_back();
      state->resolver.async_resolve(
          last.first, std::to_string(last.second), [state, last](const auto& error, const auto& results) {
            if (error) {
              return state->done(fail(ErrorKind::kUnavailable, fmt::format("the manager's name \"{}\" is not known: {}",
                                                                           last.first, error.message())));
            }
            for (const auto& entry : results) {
              const auto bytes = entry.endpoint();
              const Result<IpAddress> ip = IpAddress::parse(bytes.address().to_string());
              if (ip) state->found.push_back({*ip, last.second});
            }
            next(state);
          });
    }
  };
  auto state = std::make_shared<State>(loop);
  state->done = std::move(done);
  for (const std::string& text : addresses) {
    if (const Result<SocketAddress> address = SocketAddress::parse(text, default_port); address) {
      state->found.push_back(*address);
      continue;
    }
    const std::size_t colon = text.rfind(':');
    const auto port = colon == std::string::npos
                          ? std::optional<std::uint16_t>(default_port)
                          : parse_number<std::uint16_t>(std::string_view(text).substr(colon + 1));
    if (!port || text.substr(0, colon).empty()) {
      const Error error{ErrorKind::kInvalid, fmt::format("\"{}\" is no address of a manager: HOST[:PORT]", text)};
      return asio::post(loop, [state, error] { state->done(std::unexpected(error)); });
    }
    state->names.emplace_back(text.substr(0, colon), *port);
  }
  asio::post(loop, [state] { State::next(state); });
}

}  // namespace mesh::meshd
