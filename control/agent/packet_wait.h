// A trace that waits on this host for a real packet, as long as the manager that asks goes on asking. Two threads: the
// loop renews it and gives it up, the one that waits looks.
#pragma once

#include <atomic>
#include <chrono>

#include "control/model/trace.h"

namespace mesh::agent {

class PacketWait {
 public:
  void renew() { renewed_at_ = Clock::now().time_since_epoch().count(); }
  void give_up() { given_up_ = true; }
  // Given up, or not renewed for some periods: nobody wants the packet any more.
  [[nodiscard]] bool is_over() const {
    const Clock::duration age = Clock::now().time_since_epoch() - Clock::duration(renewed_at_.load());
    return given_up_ || age > kPeriods * model::kTraceRenewal;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr int kPeriods = 6;
  std::atomic<Clock::rep> renewed_at_{Clock::now().time_since_epoch().count()};
  std::atomic<bool> given_up_{false};
};

}  // namespace mesh::agent
