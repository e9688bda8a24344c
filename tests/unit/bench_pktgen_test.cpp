// mesh-pktgen's pure part: frames, the order of flows, the pace, and what is made of the answers.
#include <algorithm>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "bench/pktgen/figures.h"
#include "bench/pktgen/flow_order.h"
#include "bench/pktgen/frame.h"
#include "bench/pktgen/pace.h"
#include "bench/pktgen/replies.h"

namespace mesh::pktgen {
namespace {

using Frame = std::vector<std::uint8_t>;

constexpr std::uint16_t kPort = 40001;
constexpr std::uint64_t kNow = 123'456'789'012;

Route route() {
  Route route;
  route.source = *IpAddress::parse("192.0.2.9");
  route.own = *MacAddress::parse("02:00:00:00:00:09");
  route.next_hop = *MacAddress::parse("02:00:00:00:00:01");
  return route;
}

Traffic traffic(Protocol protocol, std::size_t bytes = PROBE_BYTES_MIN) {
  return {.target = *SocketAddress::parse("198.51.100.7:8010"), .protocol = protocol, .bytes = bytes, .ports = {kPort}};
}

Frame probe(Protocol protocol, std::size_t bytes = PROBE_BYTES_MIN) {
  Frame frame(bytes);
  const Result<probe_shape> shape = make_shape(route(), traffic(protocol, bytes));
  EXPECT_TRUE(shape) << shape.error().message;
  write_probe(frame.data(), *shape, kPort, kNow);
  return frame;
}

unsigned get16(const Frame& frame, std::size_t at) { return frame[at] * 256U + frame[at + 1]; }

// The obvious twin: 16-bit words in network order, carries added at the end (RFC 1071). 0 where the checksum is right.
unsigned slow_checksum(const Frame& frame, std::size_t at, std::size_t bytes, unsigned sum = 0) {
  for (std::size_t i = 0; i < bytes; i += 2) sum += get16(frame, at + i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16U);
  return sum ^ 0xffffU;
}

unsigned tcp_checksum(const Frame& frame) {
  unsigned pseudo = PROBE_TCP + 20;
  for (std::size_t at = 26; at < 34; at += 2) pseudo += get16(frame, at);
  return slow_checksum(frame, 34, 20, pseudo);
}

// What comes back: addresses and ports turned round.
Frame answer_to(Frame frame) {
  std::swap_ranges(frame.begin(), frame.begin() + 6, frame.begin() + 6);
  std::swap_ranges(frame.begin() + 26, frame.begin() + 30, frame.begin() + 30);
  std::swap_ranges(frame.begin() + 34, frame.begin() + 36, frame.begin() + 36);
  return frame;
}

// As a server answers it: acknowledged is the sequence number plus one.
Frame tcp_answer_to(Frame frame, std::uint8_t flags) {
  frame = answer_to(std::move(frame));
  std::uint32_t sequence = 0;
  std::memcpy(&sequence, frame.data() + 38, 4);
  const std::uint32_t acknowledged = mesh_be32(mesh_swap32(sequence) + 1);
  std::memcpy(frame.data() + 42, &acknowledged, 4);
  frame[47] = flags;
  return frame;
}

struct Seen {
  probe_kind kind;
  std::uint64_t elapsed_ns;
};
Seen seen(const Frame& frame, Protocol protocol, std::uint64_t now) {
  const probe_shape shape = *make_shape(route(), traffic(protocol));
  __u64 elapsed = 0;
  const probe_kind kind = probe_answer(frame.data(), frame.data() + frame.size(), &shape, now, &elapsed);
  return {kind, elapsed};
}

TEST(Probe, HeadersOfADatagram) {
  for (const std::size_t bytes : {60UL, 128UL, 1514UL}) {
    const Frame frame = probe(Protocol::kUdp, bytes);
    EXPECT_EQ(get16(frame, 16), bytes - 14);
    EXPECT_EQ(slow_checksum(frame, 14, 20), 0U);
    EXPECT_EQ(get16(frame, 34), kPort);
    EXPECT_EQ(get16(frame, 36), 8010U);
    EXPECT_EQ(get16(frame, 38), bytes - 34);
    EXPECT_EQ(get16(frame, 40), 0U) << "without a checksum";
  }
}

TEST(Probe, ChecksumsOfASynAreRightForEveryFlowAndTime) {
  const probe_shape shape = *make_shape(route(), traffic(Protocol::kTcpSyn));
  std::mt19937_64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    Frame frame(PROBE_BYTES_MIN);
    write_probe(frame.data(), shape, static_cast<std::uint16_t>(random()), random());
    ASSERT_EQ(slow_checksum(frame, 14, 20), 0U);
    ASSERT_EQ(tcp_checksum(frame), 0U);
  }
}

TEST(Probe, RefusesWhatNoFrameIs) {
  Traffic six = traffic(Protocol::kUdp);
  six.target = *SocketAddress::parse("[2001:db8::1]:80");
  for (const Traffic& wrong :
       {traffic(Protocol::kUdp, 59), traffic(Protocol::kUdp, 1515), traffic(Protocol::kTcpSyn, 61), six}) {
    EXPECT_FALSE(make_shape(route(), wrong));
  }
}

TEST(Answer, KnowsItsOwn) {
  const std::uint64_t later = kNow + 64'000;
  const Frame datagram = answer_to(probe(Protocol::kUdp));
  const Frame syn = probe(Protocol::kTcpSyn);
  struct Case {
    const char* what;
    Frame frame;
    Protocol protocol;
    probe_kind kind;
  };
  const auto changed = [](Frame frame, std::size_t at) {
    frame[at] ^= 1U;
    return frame;
  };
  const std::vector<Case> cases = {
      {"echo", datagram, Protocol::kUdp, PROBE_ANSWERED},
      {"the probe itself", probe(Protocol::kUdp), Protocol::kUdp, PROBE_FOREIGN},
      {"another source", changed(datagram, 29), Protocol::kUdp, PROBE_FOREIGN},
      {"another port", changed(datagram, 35), Protocol::kUdp, PROBE_FOREIGN},
      {"another datagram", changed(datagram, 50), Protocol::kUdp, PROBE_FOREIGN},
      {"cut off", Frame(datagram.begin(), datagram.begin() + 53), Protocol::kUdp, PROBE_FOREIGN},
      {"accepted", tcp_answer_to(syn, PROBE_SYN | PROBE_ACK), Protocol::kTcpSyn, PROBE_ANSWERED},
      {"reset", tcp_answer_to(syn, PROBE_RST | PROBE_ACK), Protocol::kTcpSyn, PROBE_REFUSED},
      {"data", tcp_answer_to(syn, PROBE_ACK), Protocol::kTcpSyn, PROBE_FOREIGN},
      {"TCP where UDP was sent", tcp_answer_to(syn, PROBE_SYN | PROBE_ACK), Protocol::kUdp, PROBE_FOREIGN},
  };
  for (const Case& one : cases) {
    const Seen found = seen(one.frame, one.protocol, later);
    EXPECT_EQ(found.kind, one.kind) << one.what;
    // A tick of TCP's is 64 ns.
    if (one.kind != PROBE_FOREIGN) EXPECT_NEAR(static_cast<double>(found.elapsed_ns), 64'000, 64) << one.what;
  }
}

TEST(Answer, TimesSurviveTheTurnOfSequenceNumbers) {
  const std::uint64_t turn = (1ULL << 32U) << PROBE_TICK_BITS;
  const probe_shape shape = *make_shape(route(), traffic(Protocol::kTcpSyn));
  Frame frame(PROBE_BYTES_MIN);
  write_probe(frame.data(), shape, kPort, turn - 6400);
  const Seen found = seen(tcp_answer_to(frame, PROBE_SYN | PROBE_ACK), Protocol::kTcpSyn, turn + 6400);
  EXPECT_EQ(found.elapsed_ns, 12'800U);
}

TEST(Replies, ArpForTheSource) {
  const probe_shape shape = *make_shape(route(), traffic(Protocol::kUdp));
  // Who has 192.0.2.9? Tell 192.0.2.1 (02:…:01).
  Frame frame = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0,   0, 0, 0, 1, 8, 6, 0, 1, 8, 0,   6, 4, 0,
                 1,    2,    0,    0,    0,    0,    1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 9};
  const Frame expected = {2, 0, 0, 0, 0, 1, 2, 0,   0, 0, 0, 9, 8, 6, 0, 1, 8, 0,   6, 4, 0,
                          2, 2, 0, 0, 0, 0, 9, 192, 0, 2, 9, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1};
  Frame other = frame;
  other.back() = 8;
  EXPECT_FALSE(reply_to_arp(other.data(), other.size(), shape));
  EXPECT_FALSE(reply_to_arp(frame.data(), frame.size() - 1, shape));
  EXPECT_TRUE(reply_to_arp(frame.data(), frame.size(), shape));
  EXPECT_EQ(frame, expected);
  EXPECT_FALSE(reply_to_arp(frame.data(), frame.size(), shape)) << "an answer is no question";
}

TEST(Replies, ResetOfWhatASynOpened) {
  Frame frame = tcp_answer_to(probe(Protocol::kTcpSyn), PROBE_SYN | PROBE_ACK);
  const Frame asked = frame;
  ASSERT_TRUE(reset_opened(frame.data(), frame.size()));
  EXPECT_TRUE(std::equal(frame.begin(), frame.begin() + 6, asked.begin() + 6));
  EXPECT_TRUE(std::equal(frame.begin() + 26, frame.begin() + 30, asked.begin() + 30));
  EXPECT_TRUE(std::equal(frame.begin() + 38, frame.begin() + 42, asked.begin() + 42)) << "what it acknowledged";
  EXPECT_EQ(get16(frame, 34), kPort);
  EXPECT_EQ(get16(frame, 36), 8010U);
  EXPECT_EQ(frame[47], PROBE_RST);
  EXPECT_EQ(slow_checksum(frame, 14, 20), 0U);
  EXPECT_EQ(tcp_checksum(frame), 0U);
  EXPECT_FALSE(reset_opened(frame.data(), frame.size())) << "no reset for a reset";
}

TEST(FlowOrder, EachFlowOnceInNoOrder) {
  for (const std::uint32_t flows : {1U, 2U, 1000U, 64512U, 65535U}) {
    const std::vector<std::uint16_t> order = flow_order(flows, 7);
    const std::set<std::uint16_t> ports(order.begin(), order.end());
    EXPECT_EQ(ports.size(), flows);
    EXPECT_FALSE(ports.contains(0));
    if (flows <= 64512) EXPECT_GE(*ports.begin(), 1024);
    EXPECT_EQ(order, flow_order(flows, 7)) << "the seed decides";
    if (flows < 1000) continue;
    EXPECT_NE(order, flow_order(flows, 8));
    int neighbours = 0;
    for (std::size_t i = 1; i < order.size(); ++i) neighbours += order[i] == order[i - 1] + 1 ? 1 : 0;
    EXPECT_LT(neighbours, 20);
  }
  EXPECT_EQ(flow_order(65536, 1).size(), 65535U) << "an address has no more ports";
}

TEST(Pace, IsKept) {
  const Pace unlimited(0, 64);
  EXPECT_EQ(unlimited.due(0, 1'000'000), 64U);
  struct Case {
    double rate;
    std::size_t at_once;
  };
  for (const Case one : {Case{10, 1}, Case{100'000, 64}, Case{20'000, 20}}) {
    const Pace pace(one.rate, 64);
    std::uint64_t sent = 0;
    for (int microsecond = 0; microsecond <= 1'000'000; microsecond += 10) {
      const std::size_t due = pace.due(microsecond / 1e6, sent);
      EXPECT_TRUE(due == 0 || due == one.at_once);
      sent += due;
    }
    EXPECT_LE(static_cast<double>(sent), one.rate);
    EXPECT_GE(static_cast<double>(sent + one.at_once), one.rate);
  }
}

TEST(Figures, PercentilesBesideASortedList) {
  std::mt19937_64 random(3);
  std::lognormal_distribution<double> times(10, 2);
  std::vector<double> all;
  probe_counts counts{};
  for (int i = 0; i < 20'000; ++i) {
    const auto ns = static_cast<std::uint64_t>(times(random));
    probe_count(&counts, i % 10 == 0 ? PROBE_REFUSED : PROBE_ANSWERED, ns);
    probe_count(&counts, PROBE_FOREIGN, 1);
    all.push_back(static_cast<double>(ns));
  }
  std::ranges::sort(all);
  EXPECT_EQ(counts.answered, 18'000U);
  EXPECT_EQ(counts.refused, 2'000U);
  EXPECT_EQ(static_cast<double>(counts.least_ns), all.front());
  EXPECT_EQ(static_cast<double>(counts.most_ns), all.back());
  for (const double share : {0.0001, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const double exact = all[static_cast<std::size_t>(std::ceil(share * 20'000)) - 1];
    EXPECT_NEAR(percentile_ns(counts, share), exact, 0.065 * exact + 0.5) << share;
  }
  EXPECT_EQ(percentile_ns(probe_counts{}, 0.5), 0);
}

TEST(Figures, BucketsGrowWithTheTime) {
  std::uint32_t last = 0;
  for (std::uint32_t power = 0; power < 64; ++power) {
    for (const std::uint64_t ns : {1ULL << power, (1ULL << power) | (1ULL << power >> 1U), (2ULL << power) - 1}) {
      EXPECT_GE(probe_bucket(ns), last);
      last = probe_bucket(ns);
      EXPECT_LT(last, PROBE_BUCKETS);
    }
  }
}

TEST(Figures, CountsOfSeveralAddUp) {
  probe_counts sum{}, one{}, other{};
  probe_count(&one, PROBE_ANSWERED, 500);
  probe_count(&other, PROBE_ANSWERED, 300);
  probe_count(&other, PROBE_REFUSED, 900);
  for (const probe_counts& part : {probe_counts{}, one, other, probe_counts{}}) add_counts(sum, part);
  EXPECT_EQ(sum.answered, 2U);
  EXPECT_EQ(sum.refused, 1U);
  EXPECT_EQ(sum.least_ns, 300U);
  EXPECT_EQ(sum.most_ns, 900U);
}

TEST(Figures, JsonAndTable) {
  Figures figures{.target = "192.0.2.1:8010",
                  .protocol = "udp",
                  .mode = "af_packet",
                  .interface = "e0",
                  .flows = 64,
                  .bytes = 60,
                  .seconds = 2,
                  .sent = 1000};
  for (int i = 0; i < 900; ++i) probe_count(&figures.counts, PROBE_ANSWERED, 10'000);
  EXPECT_EQ(to_text(to_json(figures)),
            R"({"target":"192.0.2.1:8010","protocol":"udp","mode":"af_packet","interface":"e0","flows":64,"bytes":60,)"
            R"("seconds":2,"sent":1000,"sent_pps":500,"received":900,"received_pps":450,"refused":0,"loss":0.1,)"
            R"("latency_us":{"min":10,"p50":10,"p90":10,"p99":10,"p99.9":10,"max":10}})");
  EXPECT_NE(to_table(figures).find("loss           10.0000 %"), std::string::npos) << to_table(figures);
  figures.counts = {};
  EXPECT_NE(to_table(figures).find("no answer"), std::string::npos);
  EXPECT_EQ(loss(figures), 1);
  figures.counts.answered = 1001;
  EXPECT_EQ(loss(figures), 0) << "a retransmitted answer";
}

}  // namespace
}  // namespace mesh::pktgen
