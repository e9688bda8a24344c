// Frames one after another, each to one of the programs: what the fuzzers feed and keep. A flow takes several, for its
// record is made by the first.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "tests/packet/bpf/kernel.h"

namespace mesh::packet {

struct Step {
  std::string program;
  Bytes frame;
};
using Steps = std::vector<Step>;

inline constexpr std::size_t kStepsMax = 24;
// Less than an Ethernet header and a byte neither the kernel takes nor a driver delivers.
inline constexpr std::size_t kFrameMin = 15;
inline constexpr std::size_t kFrameMax = 1600;

// As a file of the corpus: for each step a byte for the program, the frame's length (big-endian), the frame.
[[nodiscard]] Bytes encode(const Steps& steps);
// Of any bytes: what is no step is left out.
[[nodiscard]] Steps decode(const std::uint8_t* start, std::size_t size);

// All files of a folder of the corpus, in the order of their names.
[[nodiscard]] std::vector<Steps> read_corpus(const std::string& folder);

// One change that knows what a frame is: a field gets another value of those that mean something, a header comes or
// goes, a step is repeated, turned into an ICMP error about itself, cut or damaged. Mostly lengths and checksums are
// put right afterwards, or nothing would ever get behind the parser.
void mutate(Steps& steps, std::mt19937& random);

// Lengths and checksums of the IP packet at `l3`, and of what is in a tunnel header behind it.
void put_right(Bytes& frame, std::size_t l3);

}  // namespace mesh::packet
