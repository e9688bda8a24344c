// Virtual time and the one queue of events. Events of the same moment happen in the order in which they were asked for,
// so that a seed always gives the same run.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <random>
#include <utility>
#include <vector>

namespace mesh::flowsim {

using Time = std::int64_t;  // microseconds
inline constexpr Time kMillisecond = 1000;
inline constexpr Time kSecond = 1000 * kMillisecond;
inline constexpr Time kTick = 1024 * kMillisecond;  // of the programs' marks, with jiffies of a millisecond
inline constexpr Time kHour = 3600 * kSecond;

class Clock {
 public:
  [[nodiscard]] Time now() const { return now_; }

  void after(Time delay, std::function<void()> event) {
    std::uint32_t place = 0;
    if (free_.empty()) {
      place = static_cast<std::uint32_t>(events_.size());
      events_.push_back(std::move(event));
    } else {
      place = free_.back();
      free_.pop_back();
      events_[place] = std::move(event);
    }
    queue_.push({now_ + delay, next_++, place});
  }

  // False: nothing is left to happen.
  bool step() {
    if (queue_.empty()) return false;
    const Entry entry = queue_.top();
    queue_.pop();
    now_ = entry.time;
    const std::function<void()> event = std::move(events_[entry.place]);
    free_.push_back(entry.place);
    event();
    return true;
  }

 private:
  struct Entry {
    Time time = 0;
    std::uint64_t number = 0;
    std::uint32_t place = 0;
    bool operator<(const Entry& other) const {  // the queue's top is its greatest
      return std::pair(time, number) > std::pair(other.time, other.number);
    }
  };
  Time now_ = 0;
  std::uint64_t next_ = 0;
  std::priority_queue<Entry> queue_;
  std::vector<std::function<void()>> events_;
  std::vector<std::uint32_t> free_;
};

// Seeded; the standard distributions are left out because they differ between libraries.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t number() { return engine_(); }
  std::size_t below(std::size_t limit) { return engine_() % limit; }
  double unit() { return static_cast<double>(engine_() >> 11U) * 0x1p-53; }
  bool chance(double probability) { return unit() < probability; }
  Time up_to(Time limit) { return static_cast<Time>(unit() * static_cast<double>(limit)); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace mesh::flowsim
