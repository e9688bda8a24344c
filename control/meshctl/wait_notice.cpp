#include "control/meshctl/wait_notice.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>

#include <fmt/format.h>

namespace mesh::meshctl {
namespace {

constexpr auto kPatience = std::chrono::seconds(1);

void tell_later(const std::stop_token& ended, const std::string& what) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any never;
  never.wait_for(lock, ended, kPatience, [] { return false; });
  if (!ended.stop_requested()) fmt::print(stderr, "waiting for {} ...\n", what);
}

}  // namespace

WaitNotice::WaitNotice(std::string what)
    : thread_([what = std::move(what)](const std::stop_token& ended) { tell_later(ended, what); }) {}

}  // namespace mesh::meshctl
