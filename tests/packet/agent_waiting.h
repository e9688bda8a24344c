// Waiting in the agent's tests for what other processes do: with an end, far beyond what it takes on a busy machine.
#pragma once

#include <chrono>
#include <poll.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/fd.h"

namespace mesh::agent::test {

inline constexpr std::chrono::milliseconds kWaitMax = std::chrono::seconds(20);

// Asks until `condition` holds; false: it does not.
template <class Condition>
[[nodiscard]] bool wait_until(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kWaitMax;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

// Until a process that need not be our child has ended.
inline void wait_until_gone(pid_t pid) {
  const Fd handle(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!handle) return;
  pollfd waiting{handle.get(), POLLIN, 0};
  ASSERT_EQ(poll(&waiting, 1, static_cast<int>(kWaitMax.count())), 1) << "process " << pid << " did not end";
}

}  // namespace mesh::agent::test
