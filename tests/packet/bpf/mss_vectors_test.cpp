// The segment size that a SYN and its answer ask for, made to fit into the tunnel: wherever such a packet enters or
// leaves it, in the kernel and natively. What is expected has its checksum computed anew, so that bytes compare.
#include <gtest/gtest.h>

#include "tests/packet/bpf/pair.h"

namespace mesh::packet {
namespace {

const std::string kEndpoint = "mesh_endpoint_tc";
constexpr __u8 kSyn = 0x02, kSynAck = 0x12, kAck = 0x10;
constexpr __u16 kHere = 8001, kThere = 8002, kBinding = 1;

constexpr unsigned fits(bool v6) { return kInnerMtu - (v6 ? 60 : 40); }

std::string bytes_of(const std::vector<unsigned>& values) { return {values.begin(), values.end()}; }
std::string mss(unsigned value) { return bytes_of({2, 4, value >> 8, value & 0xff}); }
// The padding that makes it a whole number of words.
std::string whole(std::string options) {
  options.resize((options.size() + 3) / 4 * 4, '\x01');
  return options;
}
const std::string kNop = bytes_of({1});
const std::string kEnd = bytes_of({0});
const std::string kTimestamps = bytes_of({8, 10, 0, 0, 0, 7, 0, 0, 0, 0});
const std::string kSackPermitted = bytes_of({4, 2});

struct Options {
  const char* name;
  std::string before;
  std::string after;  // "": as before
};
std::vector<Options> all_options(bool v6) {
  const unsigned max = fits(v6);
  const auto at = [&](const std::string& head, const std::string& tail, const char* name) {
    return Options{name, whole(head + mss(1460) + tail), whole(head + mss(max) + tail)};
  };
  std::string many(36, '\x01');
  return {
      at("", "", "alone"),
      at("", kSackPermitted + kTimestamps + kNop + bytes_of({3, 3, 7}), "as Linux sends it"),
      at(kNop, "", "at an odd place"),
      at(kSackPermitted + kNop, kTimestamps, "in the middle, odd"),
      at(kTimestamps, kTimestamps, "behind another"),
      at(many, "", "the last of the longest header"),
      at(bytes_of({253, 32}) + std::string(30, 'x') + kNop + kNop + kNop, "", "behind a long one, odd"),
      at("", mss(9000), "only the first counts"),
      {"the greatest there is", mss(65535), mss(max)},
      {"one too many", mss(max + 1), mss(max)},
      {"just fits", mss(max), ""},
      {"smaller", mss(536), ""},
      {"zero", mss(0), ""},
      {"behind the end of the list", whole(kEnd + mss(1460)), ""},
      {"option without a length", kNop + kNop + kNop + bytes_of({2}), ""},
      {"length of nothing", bytes_of({2, 0, 5, 180}), ""},
      {"length of one", bytes_of({4, 1}) + mss(1460) + kNop + kNop, ""},
      {"too short for a value", whole(bytes_of({2, 3, 5})), ""},
      {"longer than it may be", whole(bytes_of({2, 6, 5, 180, 0, 0})), ""},
      {"cut off", kNop + kNop + bytes_of({2, 4}), ""},
      {"before it one that leads beyond the header", whole(bytes_of({8, 44}) + mss(1460)), ""},
      {"padding and nothing else", std::string(40, '\x01'), ""},
      {"no options", "", ""},
  };
}

class Mss : public testing::TestWithParam<std::tuple<const char*, bool>> {
 protected:
  [[nodiscard]] std::string uplink() const { return std::get<0>(GetParam()); }
  [[nodiscard]] bool v6() const { return std::get<1>(GetParam()); }
  [[nodiscard]] const char* host() const { return v6() ? "2001:db8::1" : "192.0.2.1"; }
  [[nodiscard]] const char* client() const { return v6() ? "2001:db8::9" : "192.0.2.9"; }

  // `sent` becomes `expected` but for what is in front of its IP header; `options` are those of both.
  void check_all(const std::string& program, Frame sent, Frame expected, std::size_t skip) {
    Pair& pair = Pair::cleared();
    for (const Options& options : all_options(v6())) check_one(pair, program, sent, expected, skip, options);
  }
  void check_one(Pair& pair, const std::string& program, Frame sent, Frame expected, std::size_t skip,
                 const Options& options) {
    SCOPED_TRACE(program + ": " + options.name);
    sent.tcp_options = options.before;
    expected.tcp_options = options.after.empty() ? options.before : options.after;
    pair.grown(MESH_COUNT_MSS_CLAMPED);
    const Outcome outcome = pair.run(program, sent.bytes());
    EXPECT_EQ(outcome.verdict, code(program, Verdict::kRedirect));
    // Into the tunnel the packet alone is compared, if that is all that is given.
    const Bytes all = expected.bytes();
    const std::size_t skipped = outcome.frame.size() > all.size() ? MESH_OUTER_SIZE + skip : skip;
    EXPECT_EQ(hex(Bytes(outcome.frame.begin() + static_cast<long>(skipped), outcome.frame.end())),
              hex(Bytes(all.begin() + static_cast<long>(skip), all.end())));
    EXPECT_EQ(pair.grown(MESH_COUNT_MSS_CLAMPED), options.after.empty() ? 0U : 1U);
  }

  // The client's frame in the tunnel to node 2.
  [[nodiscard]] Frame entered(const Frame& sent) const {
    Frame frame = sent;
    frame.ttl--;
    frame.tunnel = forward_to_node2(7);
    return frame;
  }
  // A flow of the client that came from node 2 to endpoint A of this host.
  [[nodiscard]] Frame answer_of_a() const {
    Frame answer = from_a(v6() ? "fd00::5" : "10.0.0.5", client(), 6, 80, 40000);
    answer.tcp_flags = kSynAck;
    answer.payload = "";
    return answer;
  }
  [[nodiscard]] Frame syn(Frame frame) const {
    frame.tcp_flags = kSyn;
    frame.payload = "";
    return frame;
  }
};

TEST_P(Mss, ClientsSynIntoTheTunnel) {
  const Frame sent = syn(from_client(6, kThere, v6()));
  check_all(uplink(), sent, entered(sent), 0);
}

TEST_P(Mss, ClientsSynOutOfTheTunnel) {
  const Frame sent = syn(from_node2(6, kHere, kBinding, v6()));
  check_all(uplink(), sent, delivered_to_a(sent), 0);
}

TEST_P(Mss, AnswerOutOfTheTunnel) {
  Frame reply = from_node2(6, 40000, 0, v6());
  reply.from = host();
  reply.to = client();
  reply.source_port = kHere;
  reply.tcp_flags = kSynAck;
  reply.payload = "";
  reply.tunnel->kind = MESH_KIND_REPLY;
  Frame out = reply;
  out.tunnel.reset();
  check_all(uplink(), reply, out, 14);
}

TEST_P(Mss, AnswerIntoTheTunnel) {
  Pair& pair = Pair::cleared();
  pair.run(uplink(), syn(from_node2(6, kHere, kBinding, v6())).bytes());
  Frame out = answer_of_a();
  out.from = v6() ? "2001:db8::2" : "192.0.2.2";
  out.source_port = kHere;
  out.ttl--;
  for (const Options& options : all_options(v6())) {
    check_one(pair, kEndpoint, answer_of_a(), out, 14, options);
  }
}

TEST_P(Mss, NotWhereThereIsNoTunnel) {
  Pair& pair = Pair::cleared();
  const Frame sent = syn(from_client(6, kHere, v6()));
  check_one(pair, uplink(), sent, delivered_to_a(sent), 0, {"to a backend here", mss(1460), ""});
}

TEST_P(Mss, NotInOtherPackets) {
  Pair& pair = Pair::cleared();
  Frame sent = from_client(6, kThere, v6());
  sent.tcp_flags = kAck;
  check_one(pair, uplink(), sent, entered(sent), 0, {"data", mss(1460), ""});
}

// The header says 60 bytes, the packet ends before: what is behind its end is padding, and not looked at.
TEST_P(Mss, NotBehindThePacketsEnd) {
  Pair& pair = Pair::cleared();
  const std::size_t l3 = 14, l4 = l3 + (v6() ? 40 : 20);
  Frame sent = syn(from_client(6, kThere, v6()));
  Frame expected = entered(sent);
  const auto longer = [](Bytes frame, std::size_t at, const std::string& behind) {
    frame.at(at + 12) = 0xf0;
    frame.insert(frame.end(), behind.begin(), behind.end());
    return frame;
  };
  const Outcome outcome = pair.run(uplink(), longer(sent.bytes(), l4, mss(1460) + std::string(36, '\x01')));
  EXPECT_EQ(outcome.verdict, code(uplink(), Verdict::kRedirect));
  EXPECT_EQ(hex(outcome.frame), hex(longer(expected.bytes(), l4 + 50, mss(1460) + std::string(36, '\x01'))));
}

INSTANTIATE_TEST_SUITE_P(Programs, Mss,
                         testing::Combine(testing::Values("mesh_uplink_xdp", "mesh_uplink_tc"), testing::Bool()),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)).substr(5) +
                                  (std::get<1>(info.param) ? "_v6" : "_v4");
                         });

// Of a service whose backends answer clients themselves the answer leaves without the tunnel; what the client sends
// then comes through it.
TEST(MssDirect, AnswerThatLeavesByItself) {
  Pair& pair = Pair::cleared();
  pair.fill(fill_options);
  Frame syn = from_node2(6, kDirect, kDirectBinding);
  syn.tcp_flags = kSyn;
  pair.run("mesh_uplink_tc", syn.bytes());
  Frame answer = from_a("10.0.0.5", "192.0.2.9", 6, 80, 40000);
  answer.tcp_flags = kSynAck;
  answer.tcp_options = mss(1460);
  const Outcome outcome = pair.run(kEndpoint, answer.bytes());
  answer.from = "192.0.2.2";
  answer.source_port = kDirect;
  answer.ttl--;
  answer.tcp_options = mss(fits(false));
  const auto packet = [](const Bytes& bytes) { return hex(Bytes(bytes.begin() + 14, bytes.end())); };
  EXPECT_EQ(packet(outcome.frame), packet(answer.bytes()));
}

}  // namespace
}  // namespace mesh::packet
