// The ring against its slow twin (counting by hand) and against its promises: balance, minimal movement, memory of
// moves, the same ring from the same input.
#include <algorithm>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/ring.h"

namespace mesh::dataplane {
namespace {

std::vector<RingMember> members_of(const std::vector<std::uint8_t>& indexes) {
  std::vector<RingMember> members;
  for (const std::uint8_t i : indexes) members.push_back({.index = i, .node = static_cast<std::uint16_t>(1 + i % 5)});
  return members;
}
std::vector<RingMember> first(std::size_t count) {
  std::vector<std::uint8_t> indexes;
  for (std::size_t i = 0; i < count; ++i) indexes.push_back(static_cast<std::uint8_t>(i));
  return members_of(indexes);
}
std::map<std::uint8_t, std::uint16_t> nodes_of(const std::vector<RingMember>& members) {
  std::map<std::uint8_t, std::uint16_t> result;
  for (const RingMember& member : members) result[member.index] = member.node;
  return result;
}
Ring change(const Ring& ring, const std::vector<RingMember>& members,
            std::map<std::uint8_t, std::uint16_t> alive = {}) {
  alive.merge(nodes_of(members));
  return change_ring(ring, members, alive).value();
}

std::map<std::uint8_t, std::size_t> counts(const Ring& ring) {
  std::map<std::uint8_t, std::size_t> result;
  for (const std::uint8_t owner : ring.owners) ++result[owner];
  return result;
}
double imbalance(const Ring& ring, std::size_t members) {
  std::size_t most = 0;
  for (const auto& [index, count] : counts(ring)) most = std::max(most, count);
  return static_cast<double>(most * members) / static_cast<double>(ring.owners.size());
}
// Share of the hash space that changed hands, whatever the sizes: looked up hash by hash.
double moved_share(const Ring& before, const Ring& after) {
  const std::size_t hashes = std::size_t{1} << std::max(before.log2(), after.log2());
  std::size_t moved = 0;
  for (std::size_t h = 0; h < hashes; ++h) {
    moved +=
        before.owners[h * before.owners.size() / hashes] != after.owners[h * after.owners.size() / hashes] ? 1U : 0U;
  }
  return static_cast<double>(moved) / static_cast<double>(hashes);
}

TEST(Ring, IsEmptyWithoutBackends) {
  const Ring ring = change({}, {});
  EXPECT_EQ(ring, Ring{});
  EXPECT_EQ(ring.log2(), 0);
}

TEST(Ring, OneBackendOwnsEverySlot) {
  const Ring ring = change({}, first(1));
  EXPECT_EQ(ring.version, 1U);
  EXPECT_EQ(ring.owners.size(), 256U);
  EXPECT_THAT(counts(ring), testing::UnorderedElementsAre(testing::Pair(0, 256U)));
  EXPECT_TRUE(ring.previous.empty());
  EXPECT_TRUE(ring.foreign.empty());
}

TEST(Ring, SharesAreAsEvenAsSlotsDivide) {
  Ring ring;
  for (std::size_t n = 1; n <= kBackendsMax; ++n) {
    ring = change(ring, first(n));
    const std::size_t slots = ring.owners.size();
    EXPECT_GE(slots, kSlotsPerBackendMin * n);
    for (const auto& [index, count] : counts(ring)) {
      EXPECT_GE(count, slots / n) << n;
      EXPECT_LE(count, slots / n + 1) << n;
    }
    EXPECT_LE(imbalance(ring, n), 1.1) << n;
  }
  EXPECT_EQ(ring.log2(), 11);
}

TEST(Ring, AddingMovesOnlyTheNewShare) {
  Ring ring = change({}, first(1));
  for (std::size_t n = 2; n <= kBackendsMax; ++n) {
    const Ring after = change(ring, first(n));
    EXPECT_LE(moved_share(ring, after), 1.0 / static_cast<double>(n) + 0.01) << n;
    ring = after;
  }
}

TEST(Ring, DoublingItselfMovesNothing) {
  const Ring small = change({}, first(25));
  ASSERT_EQ(small.log2(), 8);
  std::vector<RingMember> heavier = first(25);
  for (RingMember& member : heavier) member.weight = 2;
  const Ring large = change(small, heavier);
  EXPECT_EQ(large.log2(), 9);
  // 512 / 25 has another remainder than 256 / 25: no more than that may move.
  EXPECT_LE(moved_share(small, large), 0.02);
}

TEST(Ring, RandomChangesMoveLittleAndStayEven) {
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    std::set<std::uint8_t> set{0, 1, 2};
    Ring ring = change({}, members_of({set.begin(), set.end()}));
    for (int step = 0; step < 60; ++step) {
      const auto index = static_cast<std::uint8_t>(random() % 40);
      const std::size_t before = set.size();
      if (!set.erase(index)) set.insert(index);
      if (set.empty()) set.insert(index);
      const Ring after = change(ring, members_of({set.begin(), set.end()}));
      const auto larger = static_cast<double>(std::max(before, set.size()));
      EXPECT_LE(moved_share(ring, after), 1.0 / larger + 0.01);
      EXPECT_LE(imbalance(after, set.size()), 1.2);
      EXPECT_GE(after.owners.size(), ring.owners.size());
      ring = after;
    }
  }
}

TEST(Ring, SameInputSameRing) {
  const auto build = [] {
    Ring ring;
    for (const std::size_t n : {3U, 6U, 3U, 30U, 7U}) ring = change(ring, first(n));
    return ring;
  };
  EXPECT_EQ(build(), build());
}

TEST(Ring, UnchangedMembersKeepTheVersion) {
  const Ring ring = change(change({}, first(3)), first(4));
  const Ring again = change(ring, first(4));
  EXPECT_EQ(again, ring);
}

TEST(Ring, WeightsGetTheirShare) {
  std::vector<RingMember> members = first(3);
  members[0].weight = 6;
  members[1].weight = 3;
  const auto share = counts(change({}, members));
  EXPECT_NEAR(static_cast<double>(share.at(0)), 153.6, 1);
  EXPECT_NEAR(static_cast<double>(share.at(1)), 76.8, 1);
  EXPECT_NEAR(static_cast<double>(share.at(2)), 25.6, 1);
}

TEST(Ring, RemembersPreviousOwnersAndTheirHosts) {
  const Ring before = change({}, first(3));
  const Ring after = change(before, members_of({0, 2}), {{std::uint8_t{1}, std::uint16_t{2}}});
  ASSERT_EQ(after.version, before.version + 1);
  for (std::size_t i = 0; i < after.owners.size(); ++i) {
    const auto slot = static_cast<std::uint16_t>(i);
    if (before.owners[i] == 1) {
      EXPECT_EQ(after.previous.at(slot), 1);
      EXPECT_THAT(after.foreign.at(slot), testing::ElementsAre(2));  // draining: its flows live on
    } else {
      EXPECT_EQ(after.owners[i], before.owners[i]);
      EXPECT_FALSE(after.previous.contains(slot));
      EXPECT_FALSE(after.foreign.contains(slot));
    }
  }
}

TEST(Ring, DeadBackendsLeaveNoForeignHost) {
  const Ring after = change(change({}, first(3)), members_of({0, 2}));
  EXPECT_FALSE(after.previous.empty());
  EXPECT_TRUE(after.foreign.empty());
}

TEST(Ring, WithoutMembersNobodyOwnsASlot) {
  const Ring after = change(change({}, first(2)), {}, nodes_of(first(2)));
  EXPECT_THAT(after.owners, testing::Each(kNoBackend));
  EXPECT_EQ(after.foreign.size(), after.owners.size());
  const Ring again = change(after, first(2));
  EXPECT_TRUE(again.previous.empty());
  EXPECT_EQ(again.foreign, after.foreign);
}

// Slots that leave a backend go home first: to a member whose host may hold flows of that slot already.
TEST(Ring, PrefersHostsOfTheForeignSet) {
  Ring ring = change({}, first(2));  // 0 on host 1, 1 on host 2
  ring = change(ring, members_of({0}), {{std::uint8_t{1}, std::uint16_t{2}}});
  const std::map<std::uint16_t, std::vector<std::uint16_t>> marked = ring.foreign;
  ASSERT_EQ(marked.size(), 128U);
  std::vector<RingMember> grown{{.index = 2, .node = 2}, {.index = 3, .node = 4}};
  const Ring after = change(ring, grown, {{std::uint8_t{0}, std::uint16_t{1}}});
  for (const auto& [slot, hosts] : marked) EXPECT_EQ(after.owners[slot], 2) << slot;
}

TEST(Ring, ForeignHostsLeaveWhenTheyReport) {
  Ring ring = change({}, first(3));
  ring = change(ring, members_of({0, 2}), {{std::uint8_t{1}, std::uint16_t{2}}});
  const std::uint16_t kept = ring.foreign.begin()->first;
  Ring stale = ring;
  EXPECT_FALSE(drop_foreign(stale, 2, ring.version - 1, {}));
  EXPECT_EQ(stale, ring);
  EXPECT_TRUE(drop_foreign(ring, 2, ring.version, {kept}));
  EXPECT_THAT(ring.foreign, testing::ElementsAre(testing::Pair(kept, testing::ElementsAre(2))));
  EXPECT_FALSE(drop_foreign(ring, 2, ring.version, {kept}));
  EXPECT_TRUE(drop_dead(ring, 2));
  EXPECT_TRUE(ring.foreign.empty());
  EXPECT_FALSE(drop_dead(ring, 2));
  const Ring next = next_version(ring);
  EXPECT_EQ(next.version, ring.version + 1);
  EXPECT_TRUE(next.previous.empty());
  EXPECT_EQ(next.owners, ring.owners);
}

TEST(Ring, RefusesTooManyOrRepeatedBackends) {
  std::vector<RingMember> many = first(kBackendsMax);
  many.push_back({.index = 3, .node = 1});
  EXPECT_EQ(change_ring({}, many, {}).error().kind, ErrorKind::kExhausted);
  EXPECT_EQ(change_ring({}, members_of({1, 1}), {}).error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(change_ring({}, members_of({127}), {}).error().kind, ErrorKind::kInvalid);
}

// A flow is found by walking F and the owner as long as every host that ever owned its slot is in F or dead.
TEST(Ring, EveryLivingFormerOwnerIsForeignOrOwner) {
  std::mt19937 random(7);
  for (int round = 0; round < 10; ++round) {
    Ring ring;
    std::vector<std::set<std::uint16_t>> held(1U << 16U);  // by hash: hosts that may hold flows
    std::set<std::uint8_t> set{0, 1};
    for (int step = 0; step < 25; ++step) {
      const auto index = static_cast<std::uint8_t>(random() % 30);
      if (!set.erase(index) || set.empty()) set.insert(index);
      std::map<std::uint8_t, std::uint16_t> alive;
      for (std::uint8_t i = 0; i < 30; ++i) alive[i] = static_cast<std::uint16_t>(1 + i % 5);  // all drain, none dies
      ring = change_ring(ring, members_of({set.begin(), set.end()}), alive).value();
      for (std::size_t h = 0; h < held.size(); h += 61) {
        const std::size_t slot = h >> (16U - ring.log2());
        const std::uint8_t owner = ring.owners[slot];
        held[h].insert(alive.at(owner));
        const auto foreign = ring.foreign.find(static_cast<std::uint16_t>(slot));
        for (const std::uint16_t host : held[h]) {
          const bool walked = foreign != ring.foreign.end() && std::ranges::binary_search(foreign->second, host);
          EXPECT_TRUE(walked || host == alive.at(owner)) << "slot " << slot << " host " << host;
        }
      }
    }
  }
}

}  // namespace
}  // namespace mesh::dataplane
