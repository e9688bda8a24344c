#include "tests/flowsim/invariants.h"

#include <numeric>

#include <fmt/format.h>

namespace mesh::flowsim {
namespace {

constexpr std::array<const char*, kPromises> kPromiseTexts = {
    "(1) established flow to a living backend delivered elsewhere or reset",
    "(2) connection accepted twice",
    "(3) visited too many hosts",
    "(4) new flow to a draining or gone backend",
    "(5) more new flows moved than 1/N + 1 %",
    "(6) the answer to a SYN or datagram went astray",
    "(7) datagram of a living flow delivered elsewhere",
    "(8) new flow of a remembered client at another backend",
    "(9) new flow not at a backend of its entry host"};

#define MESH_X(NAME, name, text) name,
constexpr std::array kDropNames = {MESH_DROP_REASONS(MESH_X)};
#undef MESH_X

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::uint64_t Invariants::total() const { return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0}); }

std::string Invariants::text() const {
  std::string text;
  for (std::size_t i = 0; i < kPromises; ++i) {
    if (counts_[i] != 0) text += fmt::format("{}: {} times\n", kPromiseTexts[i], counts_[i]);
  }
  for (const std::string& example : examples_) text += "  " + example + "\n";
  return text;
}

std::string Figures::text() const {
  std::string text = fmt::format(
      "connections {} (established {}, on used ports {}, one port to several hosts {}, given another port {}, on such "
      "a port {}, not promised anything {})\nrings {} (of {} slots at last, changes of one backend {}, acknowledged "
      "late {}), hosts died {}, control restarts {}, scaled to nothing {}\n",
      connections, established, reused, collisions, given_ports, borrowed, excused, changes, slots, single_changes,
      timeouts, hosts_died, control_restarts, scaled_to_nothing);
  text += fmt::format(
      "flows of datagrams {} (led elsewhere {}), new flows of remembered clients {}, due to a backend of the entry "
      "host {}, "
      "to the container that began them {}\n",
      datagram_flows, led_elsewhere, kept, kept_local, looped);
  text += fmt::format(
      "packets {} ({:.1f} % to moved slots); told of a gone backend {}, not told {}, refused {}, unanswered {} (though "
      "entered {}), lost "
      "{}, lost with "
      "their entry host {}, replies to dead entry hosts {}, replies without a record {}, records evicted {}\nlargest "
      "move beyond its share {:.2f} %, "
      "longest idle {} s\nhops:",
      packets, percent(entered_moved, packets), resets, silent, refused, unanswered, unanswered_entered, lost,
      lost_with_entry, lost_replies, untranslated, evicted, 100 * largest_move, longest_idle);
  const std::uint64_t delivered = std::accumulate(hops.begin(), hops.end(), std::uint64_t{0});
  for (std::size_t i = 0; i < hops.size(); ++i) {
    if (hops[i] != 0) text += fmt::format(" {}: {:.3f} %", i, percent(hops[i], delivered));
  }
  text += "\ndrops:";
  for (std::size_t i = 0; i < drops.size(); ++i) {
    if (drops[i] != 0) text += fmt::format(" {} {}", kDropNames[i], drops[i]);
  }
  return text + "\n";
}

}  // namespace mesh::flowsim
