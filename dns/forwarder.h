// Questions to the host's own resolvers: UDP for UDP, TCP for TCP, each upstream in turn.
#pragma once

#include <optional>
#include <random>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "dns/answer.h"

namespace mesh::dns {

inline constexpr std::size_t kForwardsMax = 1024;  // at once; Docker's limit

class Forwarder {
 public:
  // The answer with the client's id, or nothing when no upstream gave one in time. `packet` is the query as it came.
  boost::asio::awaitable<std::optional<Packet>> ask(std::vector<Upstream> upstreams, Packet packet,
                                                    Transport transport);
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }

 private:
  // A fresh id for each question, from the kernel: a guessed id must not be enough to poison an answer.
  std::random_device random_;
  std::size_t in_flight_ = 0;
};

}  // namespace mesh::dns
