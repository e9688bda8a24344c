// Threads for blocking work. Work gets values and returns a value; the loop gets it back through `post`.
#pragma once

#include <functional>
#include <memory>
#include <utility>

namespace mesh::agent {

class WorkPool {
 public:
  using Job = std::function<void()>;
  using Post = std::function<void(Job)>;

  // At most `threads_max` threads, started as they are needed. `post` hands a job to the loop from any thread.
  WorkPool(std::size_t threads_max, Post post);
  // As stop().
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  // Runs work() on a thread, then done(result) on the loop. After stop() neither happens.
  template <class Work, class Done>
  void run(Work work, Done done) {
    add([state = state_, work = std::move(work), done = std::move(done)]() mutable {
      auto result = std::make_shared<decltype(work())>(work());
      deliver(state, [result = std::move(result), done = std::move(done)]() mutable { done(std::move(*result)); });
    });
  }

  // Drops what waits; work that runs gets three seconds to end, then its thread is left alone: it holds no reference
  // to anything but its own values, and a pull may take minutes.
  void stop();

 private:
  struct State;
  void add(Job job);
  static void deliver(const std::shared_ptr<State>& state, Job job);

  std::shared_ptr<State> state_;
};

}  // namespace mesh::agent
