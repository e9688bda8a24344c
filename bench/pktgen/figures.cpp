#include "bench/pktgen/figures.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace mesh::pktgen {
namespace {

// The middle of a bucket: probe_bucket() turned round.
double middle_of(std::uint32_t bucket) {
  if (bucket < 16) return bucket;
  const std::uint32_t shift = (bucket >> 4U) - 1;
  return std::ldexp(16.5 + (bucket & 15U), static_cast<int>(shift));
}

struct Percentile {
  const char* name;
  double share;
};
constexpr std::array kPercentiles = {Percentile{"p50", 0.5}, Percentile{"p90", 0.9}, Percentile{"p99", 0.99},
                                     Percentile{"p99.9", 0.999}};

std::uint64_t answers(const probe_counts& counts) { return counts.answered + counts.refused; }

double per_second(std::uint64_t packets, double seconds) {
  return seconds > 0 ? static_cast<double>(packets) / seconds : 0;
}

double microseconds(double ns) { return std::round(ns) / 1000; }

}  // namespace

void add_counts(probe_counts& to, const probe_counts& more) {
  if (answers(more) == 0) return;
  to.least_ns = answers(to) == 0 ? more.least_ns : std::min(to.least_ns, more.least_ns);
  to.most_ns = std::max(to.most_ns, more.most_ns);
  to.answered += more.answered;
  to.refused += more.refused;
  for (std::uint32_t i = 0; i < PROBE_BUCKETS; ++i) to.buckets[i] += more.buckets[i];
}

double percentile_ns(const probe_counts& counts, double share) {
  const std::uint64_t total = answers(counts);
  if (total == 0) return 0;
  const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(total)));
  std::uint64_t seen = 0;
  for (std::uint32_t i = 0; i < PROBE_BUCKETS; ++i) {
    seen += counts.buckets[i];
    if (seen < std::max<std::uint64_t>(wanted, 1)) continue;
    // The ends are known exactly.
    return std::clamp(middle_of(i), static_cast<double>(counts.least_ns), static_cast<double>(counts.most_ns));
  }
  return static_cast<double>(counts.most_ns);
}

double loss(const Figures& figures) {
  const std::uint64_t got = std::min(answers(figures.counts), figures.sent);  // a retransmitted answer is no gain
  return figures.sent == 0 ? 0 : static_cast<double>(figures.sent - got) / static_cast<double>(figures.sent);
}

Json to_json(const Figures& figures) {
  const std::uint64_t received = answers(figures.counts);
  JsonObject latency;
  if (received != 0) {
    latency["min"] = microseconds(static_cast<double>(figures.counts.least_ns));
    for (const Percentile& one : kPercentiles) {
      latency[one.name] = microseconds(percentile_ns(figures.counts, one.share));
    }
    latency["max"] = microseconds(static_cast<double>(figures.counts.most_ns));
  }
  JsonObject object;
  object["target"] = figures.target;
  object["protocol"] = figures.protocol;
  object["mode"] = figures.mode;
  object["interface"] = figures.interface;
  object["flows"] = figures.flows;
  object["bytes"] = figures.bytes;
  object["seconds"] = figures.seconds;
  object["sent"] = figures.sent;
  object["sent_pps"] = std::round(per_second(figures.sent, figures.seconds));
  object["received"] = received;
  object["received_pps"] = std::round(per_second(received, figures.seconds));
  object["refused"] = figures.counts.refused;
  object["loss"] = loss(figures);
  object["latency_us"] = latency;
  return object;
}

std::string to_table(const Figures& figures) {
  const std::uint64_t received = answers(figures.counts);
  std::string text =
      fmt::format("{} {}: {} flows, {}-byte frames, {:.1f} s, {} on {}\n", figures.protocol, figures.target,
                  figures.flows, figures.bytes, figures.seconds, figures.mode, figures.interface);
  text += fmt::format("  sent      {:>12} packets  {:>12.0f} per second\n", figures.sent,
                      per_second(figures.sent, figures.seconds));
  text += fmt::format("  received  {:>12} packets  {:>12.0f} per second\n", received,
                      per_second(received, figures.seconds));
  text += fmt::format("  loss      {:>12.4f} %\n", 100 * loss(figures));
  if (figures.counts.refused != 0) text += fmt::format("  refused   {:>12} of the answers\n", figures.counts.refused);
  if (received == 0) return text + "  no answer: does the service send back what it gets? (mesh-pktgen --sink does)\n";
  text += fmt::format("  latency   min {:.1f}", microseconds(static_cast<double>(figures.counts.least_ns)));
  for (const Percentile& one : kPercentiles) {
    text += fmt::format("  {} {:.1f}", one.name, microseconds(percentile_ns(figures.counts, one.share)));
  }
  return text + fmt::format("  max {:.1f} us\n", microseconds(static_cast<double>(figures.counts.most_ns)));
}

}  // namespace mesh::pktgen
