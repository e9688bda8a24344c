#include "control/agent/work_pool.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace mesh::agent {

namespace {
constexpr auto kStopTimeout = std::chrono::seconds(3);
}

struct WorkPool::State {
  std::mutex mutex;
  std::condition_variable work_added, thread_ended;
  std::deque<Job> jobs;
  Post post;
  std::size_t threads_max = 1;
  std::size_t threads = 0;
  std::size_t idle = 0;
  bool stopped = false;

  static void serve(const std::shared_ptr<State>& state) {
    std::unique_lock lock(state->mutex);
    for (;;) {
      ++state->idle;
      state->work_added.wait(lock, [&] { return state->stopped || !state->jobs.empty(); });
      --state->idle;
      if (state->stopped) break;
      Job job = std::move(state->jobs.front());
      state->jobs.pop_front();
      lock.unlock();
      job();
      job = nullptr;
      lock.lock();
    }
    --state->threads;
    state->thread_ended.notify_all();
  }
};

WorkPool::WorkPool(std::size_t threads_max, Post post) : state_(std::make_shared<State>()) {
  state_->post = std::move(post);
  state_->threads_max = threads_max;
}

void WorkPool::deliver(const std::shared_ptr<State>& state, Job job) {
  // Under the lock: after stop() the loop may be gone.
  const std::lock_guard lock(state->mutex);
  if (!state->stopped) state->post(std::move(job));
}

WorkPool::~WorkPool() { stop(); }

void WorkPool::add(Job job) {
  const std::lock_guard lock(state_->mutex);
  if (state_->stopped) return;
  state_->jobs.push_back(std::move(job));
  if (state_->idle < state_->jobs.size() && state_->threads < state_->threads_max) {
    ++state_->threads;
    std::thread([state = state_] { State::serve(state); }).detach();
  }
  state_->work_added.notify_one();
}

void WorkPool::stop() {
  std::unique_lock lock(state_->mutex);
  state_->stopped = true;
  state_->jobs.clear();
  state_->work_added.notify_all();
  state_->thread_ended.wait_for(lock, kStopTimeout, [&] { return state_->threads == 0; });
}

}  // namespace mesh::agent
