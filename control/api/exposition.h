// Text of Prometheus' exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mesh::api {

inline constexpr std::string_view kExpositionType = "text/plain; version=0.0.4; charset=utf-8";

enum class MetricType : std::uint8_t { kCounter, kGauge };

// Families one after the other; samples belong to the last one. A family that gets no sample is not shown.
class Exposition {
 public:
  using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

  // Of each family at most `samples_max` samples are kept: a host with very many ports must not drown its collector.
  explicit Exposition(std::size_t samples_max) : samples_max_(samples_max) {}

  // `name` is of [a-zA-Z_:][a-zA-Z0-9_:]*; a counter's ends in _total.
  void family(std::string_view name, MetricType type, std::string_view help);
  void sample(const Labels& labels, std::uint64_t value);
  void sample(const Labels& labels, double value);
  // One sample without labels.
  void single(std::string_view name, MetricType type, std::string_view help, std::uint64_t value);
  void single(std::string_view name, MetricType type, std::string_view help, double value);

  [[nodiscard]] std::size_t left_out() const { return left_out_; }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void add(const Labels& labels, std::string_view value);

  std::size_t samples_max_;
  std::string text_, name_, head_;
  std::size_t samples_ = 0;
  std::size_t left_out_ = 0;
};

}  // namespace mesh::api
