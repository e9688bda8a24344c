#include "vxlan/firewall.h"

#include <algorithm>
#include <functional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/json.h"
#include "base/process.h"

namespace mesh::vxlan {
namespace {

constexpr const char* kTable = "inet meshd";
// An empty chain whose name carries the digest: the one place of a table that both nft's input and its JSON listing
// show unchanged.
constexpr std::string_view kDigestChain = "generation_";

std::string digest_of(const std::string& text) {
  // FNV-1a, 64 bit: tells one ruleset of ours from another, no more.
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return fmt::format("{:016x}", hash);
}

std::string set_text(std::string_view name, std::string_view type, bool interval,
                     const std::set<std::string>& elements) {
  std::string text = fmt::format("  set {} {{ type {};", name, type);
  if (interval) text += " flags interval;";
  if (!elements.empty()) text += fmt::format(" elements = {{ {} }}", fmt::join(elements, ", "));
  return text + " }\n";
}

// The rules of one family; `ip` is "ip" or "ip6".
struct FamilyRules {
  std::string postrouting, forward;
  std::size_t count = 0;
};
FamilyRules family_rules(std::string_view ip, std::string_view n, PortRange ports) {
  const std::string leaves =
      fmt::format("    oifname != {{ \"mesh0\", \"mv*\" }} {} saddr @sources{} {} daddr != @cluster{}", ip, n, ip, n);
  return {.postrouting = fmt::format("{} meta l4proto {{ tcp, udp }} masquerade to :{}-{}\n{} masquerade\n", leaves,
                                     ports.first, ports.last, leaves),
          .forward = fmt::format("    iifname \"mv*\" {} saddr != @sources{} drop\n", ip, n),
          .count = 3};
}

// Chains that end before connection tracking begins (priority raw, -300; tracking is at -200).
struct UntrackedRules {
  std::string prerouting = "    iifname { \"mesh0\", \"mesh1\" } notrack\n";
  std::string output = "    oifname \"mesh0\" notrack\n";
  std::size_t count = 2;

  // A published port's answer may reach the host's socket through an uplink: it has the mesh's address.
  void add(std::string_view ip, const IpAddress& gateway, const IpAddress& mesh) {
    if (gateway.is_unset() || mesh.is_unset()) return;
    prerouting += fmt::format("    {} saddr {} notrack\n    iifname \"mv*\" {} daddr {} notrack\n", ip,
                              mesh.to_string(), ip, gateway.to_string());
    output += fmt::format("    oifname \"mv*\" {} saddr {} notrack\n", ip, gateway.to_string());
    count += 3;
  }
};

}  // namespace

PortRange widest_free_range(const std::set<std::uint16_t>& ports) {
  constexpr int kFirst = 1024;
  constexpr int kLast = 65535;
  int best_first = 0;
  int best_last = -1;
  int first = kFirst;
  const auto close = [&](int last) {
    if (last - first > best_last - best_first) std::tie(best_first, best_last) = std::pair(first, last);
  };
  for (const std::uint16_t port : ports) {
    if (port < kFirst) continue;
    close(port - 1);
    first = port + 1;
  }
  close(kLast);
  return {static_cast<std::uint16_t>(best_first), static_cast<std::uint16_t>(best_last)};
}

Firewall make_firewall(const Desired& desired) {
  const Masquerade& masquerade = desired.masquerade;
  std::set<std::string> sources4, sources6, cluster4, cluster6;
  for (const IpAddress& address : masquerade.sources) {
    (address.is_v4() ? sources4 : sources6).insert(address.to_string());
  }
  for (const Cidr& cidr : masquerade.cluster) (cidr.network.is_v4() ? cluster4 : cluster6).insert(cidr.to_string());
  const PortRange ports = widest_free_range({desired.reserved_ports.begin(), desired.reserved_ports.end()});
  const FamilyRules v4 = family_rules("ip", "4", ports);
  const FamilyRules v6 = family_rules("ip6", "6", ports);

  UntrackedRules untracked;
  if (desired.gateway) {
    untracked.add("ip", desired.gateway->gateway_v4, desired.gateway->mesh_v4);
    untracked.add("ip6", desired.gateway->gateway_v6, desired.gateway->mesh_v6);
  }

  std::string body =
      set_text("sources4", "ipv4_addr", false, sources4) + set_text("cluster4", "ipv4_addr", true, cluster4) +
      set_text("sources6", "ipv6_addr", false, sources6) + set_text("cluster6", "ipv6_addr", true, cluster6);
  body += "  chain prerouting {\n    type filter hook prerouting priority raw; policy accept;\n" +
          untracked.prerouting + "  }\n";
  body += "  chain output {\n    type filter hook output priority raw; policy accept;\n" + untracked.output + "  }\n";
  body += "  chain postrouting {\n    type nat hook postrouting priority srcnat; policy accept;\n" + v4.postrouting +
          v6.postrouting + "  }\n";
  body += "  chain forward {\n    type filter hook forward priority filter; policy accept;\n" + v4.forward +
          v6.forward + "    oifname \"mv*\" ct state != { established, related } drop\n  }\n";

  Firewall firewall;
  firewall.state.digest = digest_of(body);
  firewall.state.rules = v4.count + v6.count + 1 + untracked.count;
  firewall.state.elements = sources4;
  firewall.state.elements.insert(sources6.begin(), sources6.end());
  // `add` before `delete`: deleting what may not exist, in one transaction.
  firewall.ruleset = fmt::format("add table {}\ndelete table {}\ntable {} {{\n{}  chain {}{} {{ }}\n}}\n", kTable,
                                 kTable, kTable, body, kDigestChain, firewall.state.digest);
  return firewall;
}

namespace {

Result<FirewallState> parse_listing(const std::string& listing) {
  FirewallState state;
  const Json root = TRY(parse_json(listing));
  const JsonObject* object = root.if_object();
  const Json* items = object != nullptr ? object->if_contains("nftables") : nullptr;
  if (items == nullptr || items->if_array() == nullptr) return fail(ErrorKind::kInternal, "nft: no list in its output");
  for (const Json& item : items->get_array()) {
    const JsonObject* entry = item.if_object();
    if (entry == nullptr) continue;
    if (entry->if_contains("rule") != nullptr) ++state.rules;
    if (const Json* chain = entry->if_contains("chain"); chain != nullptr && chain->is_object()) {
      const Json* name = chain->get_object().if_contains("name");
      if (name == nullptr || !name->is_string()) continue;
      const std::string_view text(name->get_string().data(), name->get_string().size());
      if (text.starts_with(kDigestChain)) state.digest = text.substr(kDigestChain.size());
    }
    if (const Json* set = entry->if_contains("set"); set != nullptr && set->is_object()) {
      const Json* name = set->get_object().if_contains("name");
      const Json* elements = set->get_object().if_contains("elem");
      if (name == nullptr || elements == nullptr || !name->is_string() || !elements->is_array()) continue;
      if (!name->get_string().starts_with("sources")) continue;  // intervals come back in other words
      for (const Json& element : elements->get_array()) {
        if (element.is_string()) state.elements.emplace(element.get_string().data(), element.get_string().size());
      }
    }
  }
  return state;
}

}  // namespace

Result<std::optional<FirewallState>> observe_firewall() {
  const ProcessSpec spec{.argv = {"nft", "-j", "list", "table", "inet", "meshd"}};
  const ProcessOutcome outcome = TRY_IN("read the firewall table", run_process(spec));
  if (outcome.exit_status != 0) {
    if (outcome.err.find("No such file") != std::string::npos) return std::optional<FirewallState>();
    return fail(ErrorKind::kInternal, fmt::format("read the firewall table: nft: {}", outcome.err));
  }
  return std::optional(TRY_IN("read the firewall table", parse_listing(outcome.out)));
}

Status apply_firewall(const Firewall& firewall) {
  const ProcessSpec spec{.argv = {"nft", "-f", "-"}, .stdin_text = firewall.ruleset};
  TRY_IN("write the firewall table", run_for_output(spec));
  return {};
}

Status delete_firewall() {
  const ProcessSpec spec{.argv = {"nft", "-f", "-"},
                         .stdin_text = fmt::format("add table {}\ndelete table {}\n", kTable, kTable)};
  TRY_IN("delete the firewall table", run_for_output(spec));
  return {};
}

}  // namespace mesh::vxlan
