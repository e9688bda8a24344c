#include "bench/pktgen/route.h"

#include <array>
#include <cerrno>
#include <net/if.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "vxlan/uplink.h"

namespace mesh::pktgen {

Result<Route> find_route(const IpAddress& target, const std::string& interface) {
  constexpr int kTries = 300;
  constexpr unsigned kPauseUs = 10'000;
  vxlan::NextHop hop;
  for (int i = 0; i < kTries && !hop.resolved; ++i) {
    if (i != 0) ::usleep(kPauseUs);
    hop = TRY(vxlan::resolve({target})).front();
    if (hop.ifindex == 0) {
      return fail(ErrorKind::kNotFound, "no route to " + target.to_string() + " leaves this host (`ip route get`)");
    }
  }
  std::array<char, IF_NAMESIZE> name{};
  if (::if_indextoname(hop.ifindex, name.data()) == nullptr) return fail_errno("the route's interface", errno);
  if (!hop.resolved) {
    return fail(ErrorKind::kNotFound, "nobody on " + std::string(name.data()) + " says where " + target.to_string() +
                                          " is; give its MAC address with --next-hop, or look at `ip neigh`");
  }
  if (!interface.empty() && interface != name.data()) {
    return fail(ErrorKind::kInvalid, "the route to " + target.to_string() + " leaves by " + name.data() + ", not " +
                                         interface + "; give --source and --next-hop too to send there all the same");
  }
  return Route{name.data(), hop.ifindex, hop.source, hop.egress, hop.next_hop};
}

Result<Interface> find_interface(const std::string& name) {
  Interface interface;
  interface.ifindex = ::if_nametoindex(name.c_str());
  if (interface.ifindex == 0) return fail_errno("interface " + name, errno);
  const std::string text = TRY(read_file("/sys/class/net/" + name + "/address"));
  interface.mac = TRY_IN("interface " + name, MacAddress::parse(trim(text)));
  return interface;
}

}  // namespace mesh::pktgen
