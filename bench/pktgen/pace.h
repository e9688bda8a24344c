// How many probes are due. Pure: the caller asks the clock.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace mesh::pktgen {

class Pace {
 public:
  // rate: probes per second, 0 for as fast as it goes. burst: at most so many at once.
  Pace(double rate, std::size_t burst) : rate_(rate), burst_(std::max<std::size_t>(burst, 1)) {
    // A thousandth of a second's worth at a time: each call costs something, and a burst is what queues lose.
    if (rate > 0) burst_ = std::clamp<std::size_t>(static_cast<std::size_t>(rate / 1000), 1, burst_);
  }

  // How many to send at once after so many seconds, `sent` having been sent; 0: not yet.
  [[nodiscard]] std::size_t due(double seconds, std::uint64_t sent) const {
    if (rate_ <= 0) return burst_;
    const double behind = rate_ * seconds - static_cast<double>(sent);
    return behind >= static_cast<double>(burst_) ? burst_ : 0;
  }

 private:
  double rate_;
  std::size_t burst_;
};

}  // namespace mesh::pktgen
