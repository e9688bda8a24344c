#include "dataplane/ring.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <set>

#include <fmt/format.h>

namespace mesh::dataplane {
namespace {

constexpr std::uint8_t kRingLog2Max = 16;  // slots are 16-bit numbers on the wire

// Finaliser of MurmurHash3: a fixed, even spreading of small numbers.
std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 33U;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33U;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33U);
}

struct Share {
  RingMember member;
  std::size_t have = 0;
  std::size_t target = 0;
};

std::uint64_t total_weight(const std::vector<RingMember>& members) {
  return std::accumulate(members.begin(), members.end(), std::uint64_t{0}, [](std::uint64_t sum, const RingMember& m) {
    return sum + std::max<std::uint16_t>(m.weight, 1);
  });
}

// 2^k slots for these members, never fewer than there were.
std::uint8_t wanted_log2(const Ring& ring, const std::vector<RingMember>& members) {
  const std::uint64_t slots = std::bit_ceil(std::max<std::uint64_t>(1, kSlotsPerBackendMin * total_weight(members)));
  const auto k = static_cast<std::uint8_t>(std::countr_zero(slots));
  return std::max(std::clamp(k, kRingLog2Min, kRingLog2Max), ring.log2());
}

// Each slot becomes two with the same owner: the top bits of the hash decide, so nothing moves.
void split_to(Ring& ring, std::uint8_t log2) {
  while (ring.log2() < log2) {
    std::vector<std::uint8_t> owners(ring.owners.size() * 2);
    for (std::size_t i = 0; i < owners.size(); ++i) owners[i] = ring.owners[i / 2];
    ring.owners = std::move(owners);
    const auto split_keys = [](auto& map) {
      std::remove_cvref_t<decltype(map)> split;
      for (const auto& [slot, value] : map) {
        split.emplace(static_cast<std::uint16_t>(slot * 2), value);
        split.emplace(static_cast<std::uint16_t>(slot * 2 + 1), value);
      }
      map = std::move(split);
    };
    split_keys(ring.previous);
    split_keys(ring.foreign);
  }
}

// Exact shares of the slots; what does not divide goes first to who already has more, so that it need not move.
std::map<std::uint8_t, Share> shares_of(const Ring& ring, const std::vector<RingMember>& members) {
  std::map<std::uint8_t, Share> shares;
  for (const RingMember& member : members) shares[member.index].member = member;
  for (const std::uint8_t owner : ring.owners) {
    if (const auto found = shares.find(owner); found != shares.end()) ++found->second.have;
  }
  const std::size_t slots = ring.owners.size();
  const std::uint64_t weights = total_weight(members);
  std::size_t given = 0;
  std::vector<Share*> order;
  for (auto& [index, share] : shares) {
    share.target = static_cast<std::size_t>(slots * std::max<std::uint16_t>(share.member.weight, 1) / weights);
    given += share.target;
    order.push_back(&share);
  }
  std::ranges::sort(order, [](const Share* a, const Share* b) {
    const bool a_over = a->have > a->target, b_over = b->have > b->target;
    if (a_over != b_over) return a_over;
    return std::pair(mix(a->member.index), a->member.index) < std::pair(mix(b->member.index), b->member.index);
  });
  for (std::size_t i = 0; given < slots; i = (i + 1) % order.size(), ++given) ++order[i]->target;
  return shares;
}

// Slots in a fixed scattered order, so that no part of the hash space moves more often than another.
std::vector<std::uint16_t> scattered_slots(std::size_t count) {
  std::vector<std::uint16_t> slots(count);
  std::iota(slots.begin(), slots.end(), std::uint16_t{0});
  std::ranges::sort(slots, {}, [](std::uint16_t slot) { return std::pair(mix(slot + 99U), slot); });
  return slots;
}

// Slots that must change hands: those of backends that are no members, and what others have too much.
std::vector<std::uint16_t> surplus_slots(const Ring& ring, std::map<std::uint8_t, Share>& shares) {
  std::vector<std::uint16_t> surplus;
  for (const std::uint16_t slot : scattered_slots(ring.owners.size())) {
    const auto owner = shares.find(ring.owners[slot]);
    if (owner == shares.end()) {
      surplus.push_back(slot);
    } else if (owner->second.have > owner->second.target) {
      --owner->second.have;
      surplus.push_back(slot);
    }
  }
  return surplus;
}

void hand_out(Ring& ring, std::vector<std::uint16_t> surplus, std::map<std::uint8_t, Share>& shares) {
  const auto take = [&](std::uint16_t slot, Share& share) {
    ring.owners[slot] = share.member.index;
    ++share.have;
  };
  std::erase_if(surplus, [&](std::uint16_t slot) {
    const auto foreign = ring.foreign.find(slot);
    if (foreign == ring.foreign.end()) return false;
    for (auto& [index, share] : shares) {
      if (share.have < share.target && std::ranges::binary_search(foreign->second, share.member.node)) {
        take(slot, share);
        return true;
      }
    }
    return false;
  });
  auto next = shares.begin();
  for (const std::uint16_t slot : surplus) {
    while (next->second.have >= next->second.target) {
      if (++next == shares.end()) next = shares.begin();
    }
    take(slot, next->second);
    if (++next == shares.end()) next = shares.begin();
  }
}

// `before` has the size of `after`. Remembers previous owners, and the hosts that may hold their flows.
void remember_moves(const Ring& before, Ring& after, const std::map<std::uint8_t, std::uint16_t>& node_of) {
  after.previous.clear();
  for (std::size_t i = 0; i < after.owners.size(); ++i) {
    const std::uint8_t old = before.owners[i];
    if (old == after.owners[i] || old == kNoBackend) continue;
    const auto slot = static_cast<std::uint16_t>(i);
    after.previous.emplace(slot, old);
    const auto host = node_of.find(old);
    if (host == node_of.end()) continue;
    std::vector<std::uint16_t>& hosts = after.foreign[slot];
    const auto at = std::ranges::lower_bound(hosts, host->second);
    if (at == hosts.end() || *at != host->second) hosts.insert(at, host->second);
  }
}

template <class Slots>
bool drop_where(Ring& ring, std::uint16_t node, Slots slots) {
  bool changed = false;
  for (auto entry = ring.foreign.begin(); entry != ring.foreign.end();) {
    if (slots(entry->first) && std::erase(entry->second, node) > 0) changed = true;
    entry = entry->second.empty() ? ring.foreign.erase(entry) : std::next(entry);
  }
  return changed;
}

}  // namespace

std::uint8_t Ring::log2() const {
  return owners.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(std::countr_zero(owners.size()));
}

Result<Ring> change_ring(const Ring& ring, const std::vector<RingMember>& members,
                         const std::map<std::uint8_t, std::uint16_t>& node_of) {
  if (members.size() > kBackendsMax) {
    return fail(ErrorKind::kExhausted, fmt::format("{} backends of one published port are over the limit of {}",
                                                   members.size(), kBackendsMax));
  }
  std::set<std::uint8_t> indexes;
  for (const RingMember& member : members) {
    if (member.index >= kBackendsMax || !indexes.insert(member.index).second) {
      return fail(ErrorKind::kInvalid,
                  fmt::format("backend index {} is repeated or over {}", member.index, kBackendsMax - 1));
    }
  }
  if (members.empty() && ring.owners.empty()) return ring;

  Ring before = ring;
  if (before.owners.empty()) before.owners.assign(std::size_t{1} << kRingLog2Min, kNoBackend);
  split_to(before, wanted_log2(before, members));
  Ring after = before;
  if (members.empty()) {
    std::ranges::fill(after.owners, kNoBackend);
  } else {
    std::map<std::uint8_t, Share> shares = shares_of(after, members);
    hand_out(after, surplus_slots(after, shares), shares);
  }
  if (after.owners == ring.owners) return ring;
  remember_moves(before, after, node_of);
  after.version = ring.version + 1;
  return after;
}

Ring next_version(Ring ring) {
  ++ring.version;
  ring.previous.clear();
  return ring;
}

bool drop_foreign(Ring& ring, std::uint16_t node, std::uint32_t version, const std::vector<std::uint16_t>& held) {
  if (version != ring.version) return false;
  const std::set<std::uint16_t> kept(held.begin(), held.end());
  return drop_where(ring, node, [&](std::uint16_t slot) { return !kept.contains(slot); });
}

bool drop_dead(Ring& ring, std::uint16_t node) {
  return drop_where(ring, node, [](std::uint16_t) { return true; });
}

}  // namespace mesh::dataplane
