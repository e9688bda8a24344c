#include "control/cluster/rate_limit.h"

#include <algorithm>

namespace mesh::cluster {
namespace {
// Beyond this many sources at once full buckets are dropped; only an attack comes here.
constexpr std::size_t kSourcesMax = 4096;
}  // namespace

RateLimit::RateLimit(std::uint32_t burst, Duration period, std::uint32_t total_factor)
    : burst_(burst), per_second_(1e9 / static_cast<double>(period.count())), total_factor_(total_factor) {
  total_.tokens = burst_ * total_factor_;
}

void RateLimit::refill(Bucket& bucket, double capacity, double per_second, Time now) const {
  const double seconds = static_cast<double>((now - bucket.filled).count()) / 1e9;
  if (seconds > 0) bucket.tokens = std::min(capacity, bucket.tokens + seconds * per_second);
  bucket.filled = now;
}

void RateLimit::forget_full(Time now) {
  for (auto source = sources_.begin(); source != sources_.end();) {
    refill(source->second, burst_, per_second_, now);
    source = source->second.tokens >= burst_ ? sources_.erase(source) : std::next(source);
  }
}

bool RateLimit::admit(const IpAddress& source, Time now) {
  refill(total_, burst_ * total_factor_, per_second_ * total_factor_, now);
  if (total_.tokens < 1) return false;
  auto found = sources_.find(source);
  if (found == sources_.end()) {
    if (sources_.size() >= kSourcesMax) forget_full(now);
    if (sources_.size() >= kSourcesMax) return false;
    found = sources_.emplace(source, Bucket{burst_, now}).first;
  }
  refill(found->second, burst_, per_second_, now);
  if (found->second.tokens < 1) return false;
  found->second.tokens -= 1;
  total_.tokens -= 1;
  return true;
}

}  // namespace mesh::cluster
