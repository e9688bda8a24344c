// The promises (docs/adr, "flow consistency") and what happened besides.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "bpf/abi.h"

namespace mesh::flowsim {

enum class Promise : std::uint8_t {
  kEstablished,   // 1: no packet of an established flow to a living backend is delivered elsewhere, or answered by a
                  // reset
  kAcceptedOnce,  // 2: no connection is accepted twice
  kHops,          // 3: no packet visits more than MESH_HOPS_MAX hosts
  kDrained,       // 4: no new flow to a draining or gone backend once that is acknowledged
  kMovement,      // 5: a single change moves at most its share of new flows, and 1 %
  kHeard,         // 6: what a backend answers to a SYN or a datagram is heard by its client
  kDatagrams,     // 7: a living backend gets all datagrams of a flow that is silent for no longer than its record lives
  kAffinity,  // 8: a client's new flows come to one backend, while that is ready and the client not away for too long
  kLocal,     // 9: a new flow comes to a ready backend of its entry host, if there is one
};
inline constexpr std::size_t kPromises = 9;

class Invariants {
 public:
  void broken(Promise promise, std::string what) {
    std::uint64_t& count = counts_[static_cast<std::size_t>(promise)];
    if (++count <= kExamplesMax) examples_.push_back(std::move(what));
  }
  [[nodiscard]] std::uint64_t count(Promise promise) const { return counts_[static_cast<std::size_t>(promise)]; }
  [[nodiscard]] std::uint64_t total() const;
  // One line per promise that was broken, and the first cases.
  [[nodiscard]] std::string text() const;

 private:
  static constexpr std::uint64_t kExamplesMax = 5;  // of each promise
  std::array<std::uint64_t, kPromises> counts_{};
  std::vector<std::string> examples_;
};

struct Figures {
  std::uint64_t connections = 0;
  std::uint64_t established = 0;
  std::uint64_t reused = 0;          // connections on the ports of one that is over
  std::uint64_t collisions = 0;      // ... of one that goes to another address meanwhile
  std::uint64_t borrowed = 0;        // ... on a port that another one of the client was given
  std::uint64_t given_ports = 0;     // flows whose port was changed on the way
  std::uint64_t datagram_flows = 0;  // of the connections
  std::uint64_t led_elsewhere = 0;   // ... to another backend than before
  std::uint64_t kept = 0;            // new flows of clients that were remembered
  std::uint64_t kept_local = 0;      // ... that were due to a backend of their entry host
  std::uint64_t looped = 0;          // ... that came to the container that had begun them
  std::uint64_t excused = 0;         // connections to which nothing is promised: README, "Not promised"
  std::uint64_t packets = 0;         // of clients
  std::uint64_t entered_moved = 0;   // ... to a slot that was moved, at the entry
  std::uint64_t changes = 0;         // rings published
  std::uint64_t slots = 0;           // of the last ring
  std::uint64_t single_changes = 0;  // ... of one backend, whose movement was judged
  std::uint64_t timeouts = 0;        // ... that a laggard did not acknowledge
  std::uint64_t hosts_died = 0;
  std::uint64_t control_restarts = 0;
  std::uint64_t scaled_to_nothing = 0;
  std::uint64_t resets = 0;                             // of connections whose backend was gone
  std::uint64_t silent = 0;                             // ... which were told nothing for 51 s
  std::uint64_t refused = 0;                            // SYNs answered by a reset
  std::uint64_t unanswered = 0;                         // connections that gave up their SYN
  std::uint64_t unanswered_entered = 0;                 // ... though a host took it, and for none of the known reasons
  std::uint64_t lost = 0;                               // ... their data, though client's entry and backend lived
  std::uint64_t lost_replies = 0;                       // packets: the entry host that a record names is down
  std::uint64_t lost_with_entry = 0;                    // connections given up because of that
  std::uint64_t untranslated = 0;                       // replies without a record
  std::uint64_t evicted = 0;                            // live records that had to make room
  double largest_move = 0;                              // beyond the share, of all single changes
  std::int64_t longest_idle = 0;                        // seconds, of a connection that was used again afterwards
  std::array<std::uint64_t, MESH_HOPS_MAX + 2> hops{};  // of packets delivered
  std::array<std::uint64_t, MESH_DROPS> drops{};        // by reason
  [[nodiscard]] std::string text() const;
};

}  // namespace mesh::flowsim
