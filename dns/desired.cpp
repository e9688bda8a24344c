#include "dns/desired.h"

#include <algorithm>

namespace mesh::dns {

std::vector<Upstream> parse_resolv_conf(std::string_view text) {
  constexpr std::string_view kKeyword = "nameserver";
  std::vector<Upstream> result;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!line.starts_with(kKeyword)) continue;
    line.remove_prefix(kKeyword.size());
    const std::size_t begin = line.find_first_not_of(" \t");
    if (begin == 0 || begin == std::string_view::npos) continue;
    line.remove_prefix(begin);
    const auto address = IpAddress::parse(line.substr(0, line.find_first_of(" \t\r#;")));
    // A zone ("fe80::1%eth0") does not parse: link-local resolvers are skipped.
    if (!address || *address == IpAddress::v4(0x7f00000bU)) continue;
    if (result.size() < kUpstreamsMax) result.push_back({.address = *address});
  }
  return result;
}

}  // namespace mesh::dns
