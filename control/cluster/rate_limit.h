// Token buckets per source address, for what anyone may ask without a certificate. Pure: time is an input.
#pragma once

#include <cstdint>
#include <map>

#include "base/address.h"
#include "base/clock.h"

namespace mesh::cluster {

class RateLimit {
 public:
  // `burst` requests at once, then one per `period`; the same for all sources together times `total_factor`.
  RateLimit(std::uint32_t burst, Duration period, std::uint32_t total_factor);

  // Whether one more request of this source is let in now. Refused ones cost nothing.
  [[nodiscard]] bool admit(const IpAddress& source, Time now);

 private:
  struct Bucket {
    double tokens = 0;
    Time filled{};
  };
  void refill(Bucket& bucket, double capacity, double per_second, Time now) const;
  void forget_full(Time now);

  double burst_, per_second_, total_factor_;
  Bucket total_;
  std::map<IpAddress, Bucket> sources_;  // a full bucket is as good as none and is dropped
};

}  // namespace mesh::cluster
