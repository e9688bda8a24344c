#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/agent/health.h"
#include "control/agent/task_step.h"

namespace mesh::agent {
namespace {

using Container = ObservedContainer::State;
using model::TaskState;
using testing::HasSubstr;
using Go = Attempt::State;

const Time kNow = Time(std::chrono::hours(1000));

model::Task task_with(TaskState desired) {
  model::Task task;
  task.id = "task1";
  task.desired_state = desired;
  return task;
}

TaskFacts facts_in(TaskState state) {
  TaskFacts facts;
  facts.status.state = state;
  return facts;
}

struct Situation {
  const char* what;
  TaskState state;
  TaskState desired;
  std::function<void(TaskFacts&)> see;
  TaskState expected_state;
  TaskAction expected_action;
  const char* expected_err = "";
};

const TaskState run = TaskState::kRunning, stop = TaskState::kShutdown;

void nothing(TaskFacts&) {}
void running(TaskFacts& f) { f.container.state = Container::kRunning; }
std::function<void(TaskFacts&)> exited(int code) {
  return [code](TaskFacts& f) {
    f.container.state = Container::kExited;
    f.container.exit_code = code;
  };
}

std::vector<Situation> before_the_start() {
  return {{"new to us", TaskState::kAssigned, run, nothing, TaskState::kAccepted, TaskAction::kNone},
          {"accepted", TaskState::kAccepted, run, nothing, TaskState::kPreparing, TaskAction::kNone},
          {"pull begins", TaskState::kPreparing, run, nothing, TaskState::kPreparing, TaskAction::kPull},
          {"pull runs", TaskState::kPreparing, run, [](TaskFacts& f) { f.image = {Go::kRunning, ""}; },
           TaskState::kPreparing, TaskAction::kNone},
          {"pull failed", TaskState::kPreparing, run, [](TaskFacts& f) { f.image = {Go::kFailed, "No such image: x"}; },
           TaskState::kRejected, TaskAction::kNone, "No such image: x"},
          {"pulled", TaskState::kPreparing, run, [](TaskFacts& f) { f.image = {Go::kDone, ""}; }, TaskState::kReady,
           TaskAction::kNone},
          {"ready and waiting for its turn", TaskState::kReady, TaskState::kReady, nothing, TaskState::kReady,
           TaskAction::kNone},
          {"its turn", TaskState::kReady, run, nothing, TaskState::kStarting, TaskAction::kNone},
          {"network not wired", TaskState::kStarting, run, [](TaskFacts& f) { f.image = {Go::kDone, ""}; },
           TaskState::kStarting, TaskAction::kNone},
          {"wired", TaskState::kStarting, run,
           [](TaskFacts& f) {
             f.image = {Go::kDone, ""};
             f.network_ready = true;
           },
           TaskState::kStarting, TaskAction::kStart},
          {"start failed", TaskState::kStarting, run,
           [](TaskFacts& f) {
             f.image = {Go::kDone, ""};
             f.start = {Go::kFailed, "no such file"};
             f.container.state = Container::kPrepared;
           },
           TaskState::kFailed, TaskAction::kNone, "starting container failed: no such file"},
          {"meshd restarted before the start", TaskState::kStarting, run, nothing, TaskState::kStarting,
           TaskAction::kPull}};
}

std::vector<Situation> with_a_container() {
  return {
      {"started", TaskState::kStarting, run, running, TaskState::kRunning, TaskAction::kNone},
      {"adopted", TaskState::kAccepted, run, running, TaskState::kRunning, TaskAction::kNone},
      {"runs", TaskState::kRunning, run, running, TaskState::kRunning, TaskAction::kNone},
      {"not healthy yet", TaskState::kStarting, run,
       [](TaskFacts& f) {
         running(f);
         f.has_health_check = true;
       },
       TaskState::kStarting, TaskAction::kNone},
      {"healthy", TaskState::kStarting, run,
       [](TaskFacts& f) {
         running(f);
         f.has_health_check = true;
         f.health = Health::kHealthy;
       },
       TaskState::kRunning, TaskAction::kNone},
      {"unhealthy while starting", TaskState::kStarting, run,
       [](TaskFacts& f) {
         running(f);
         f.has_health_check = true;
         f.health = Health::kUnhealthy;
       },
       TaskState::kStarting, TaskAction::kSendStopSignal},
      {"unhealthy while it serves", TaskState::kRunning, run,
       [](TaskFacts& f) {
         running(f);
         f.has_health_check = true;
         f.health = Health::kUnhealthy;
         f.unhealthy_since = kNow;
       },
       TaskState::kRunning, TaskAction::kNone},
      {"unhealthy and killed", TaskState::kRunning, run,
       [](TaskFacts& f) {
         exited(137)(f);
         f.has_health_check = true;
         f.health = Health::kUnhealthy;
       },
       TaskState::kFailed, TaskAction::kNone, "task: non-zero exit (137): dockerexec: unhealthy container"},
      {"unhealthy but ended well", TaskState::kRunning, run,
       [](TaskFacts& f) {
         exited(0)(f);
         f.has_health_check = true;
         f.health = Health::kUnhealthy;
       },
       TaskState::kComplete, TaskAction::kNone},
      {"ended", TaskState::kRunning, run, exited(0), TaskState::kComplete, TaskAction::kNone},
      {"crashed", TaskState::kRunning, run, exited(3), TaskState::kFailed, TaskAction::kNone,
       "task: non-zero exit (3)"},
      {"crashed while starting", TaskState::kStarting, run, exited(1), TaskState::kFailed, TaskAction::kNone,
       "task: non-zero exit (1)"},
      {"out of memory", TaskState::kRunning, run,
       [](TaskFacts& f) {
         exited(137)(f);
         f.container.out_of_memory = true;
       },
       TaskState::kFailed, TaskAction::kNone, "task: non-zero exit (137): out of memory, the limit was reached"},
      {"lost", TaskState::kRunning, run, [](TaskFacts& f) { f.container.state = Container::kLost; }, TaskState::kFailed,
       TaskAction::kNone, "task: its container was lost: the host was restarted, or its monitor was killed"},
      {"vanished", TaskState::kRunning, run, nothing, TaskState::kFailed, TaskAction::kNone,
       "task: its container is gone from this host; something removed it"}};
}

std::vector<Situation> being_stopped() {
  return {
      {"stopped before it began", TaskState::kAssigned, stop, nothing, TaskState::kShutdown, TaskAction::kNone},
      {"stopped while pulling", TaskState::kPreparing, stop, [](TaskFacts& f) { f.image = {Go::kRunning, ""}; },
       TaskState::kShutdown, TaskAction::kNone},
      {"stopped while starting", TaskState::kStarting, stop, [](TaskFacts& f) { f.start = {Go::kRunning, ""}; },
       TaskState::kStarting, TaskAction::kNone},
      {"stopped while running", TaskState::kRunning, stop, running, TaskState::kRunning, TaskAction::kSendStopSignal},
      {"stopped and gone", TaskState::kRunning, stop, exited(143), TaskState::kShutdown, TaskAction::kNone},
      {"over: freed", TaskState::kFailed, run, exited(1), TaskState::kFailed, TaskAction::kRelease},
      {"over and freed", TaskState::kFailed, run,
       [](TaskFacts& f) {
         exited(1)(f);
         f.release = {Go::kDone, ""};
       },
       TaskState::kFailed, TaskAction::kNone},
      {"forgotten while it runs", TaskState::kRunning, run,
       [](TaskFacts& f) {
         running(f);
         f.absent = true;
       },
       TaskState::kRunning, TaskAction::kSendStopSignal},
      {"forgotten and over", TaskState::kShutdown, stop,
       [](TaskFacts& f) {
         exited(0)(f);
         f.absent = true;
       },
       TaskState::kShutdown, TaskAction::kRemove}};
}

void check(const std::vector<Situation>& rows) {
  for (const Situation& row : rows) {
    TaskFacts facts = facts_in(row.state);
    row.see(facts);
    const TaskStep step = next_step(task_with(row.desired), facts, kNow);
    EXPECT_EQ(step.status.state, row.expected_state) << row.what;
    EXPECT_EQ(action_name(step.action), action_name(row.expected_action)) << row.what;
    EXPECT_EQ(step.status.err, row.expected_err) << row.what;
    if (step.status.state != row.state) EXPECT_EQ(step.status.timestamp, kNow) << row.what;
  }
}

TEST(TaskStep, BeforeTheStart) { check(before_the_start()); }
TEST(TaskStep, WithAContainer) { check(with_a_container()); }
TEST(TaskStep, BeingStopped) { check(being_stopped()); }

TEST(TaskStep, GraceThenKill) {
  TaskFacts facts = facts_in(TaskState::kRunning);
  facts.container.state = Container::kRunning;
  facts.stop_signal = {Go::kDone, ""};
  facts.stop_sent_at = kNow;
  facts.stop_grace = std::chrono::seconds(3);
  const model::Task task = task_with(TaskState::kShutdown);
  TaskStep step = next_step(task, facts, kNow + std::chrono::seconds(1));
  EXPECT_EQ(step.action, TaskAction::kNone);
  EXPECT_EQ(step.wake, kNow + std::chrono::seconds(3));
  step = next_step(task, facts, kNow + std::chrono::seconds(3));
  EXPECT_EQ(step.action, TaskAction::kSendKill);
  facts.kill = {Go::kDone, ""};
  EXPECT_EQ(next_step(task, facts, kNow + std::chrono::seconds(4)).action, TaskAction::kNone);
}

TEST(TaskStep, UnhealthyIsDrainedThenStopped) {
  TaskFacts facts = facts_in(TaskState::kRunning);
  running(facts);
  facts.has_health_check = true;
  facts.health = Health::kUnhealthy;
  facts.unhealthy_since = kNow;
  model::Task task = task_with(TaskState::kRunning);
  EXPECT_EQ(next_step(task, facts, kNow).wake, kNow + kDrainWaitMax);
  EXPECT_EQ(next_step(task, facts, kNow + kDrainWaitMax).action, TaskAction::kSendStopSignal) << "no manager answers";
  task.mesh.stop_allowed = true;
  EXPECT_EQ(next_step(task, facts, kNow).action, TaskAction::kSendStopSignal);
  facts.health = Health::kStarting;
  EXPECT_EQ(next_step(task, facts, kNow).action, TaskAction::kSendStopSignal) << "drained before meshd was restarted";
  exited(143)(facts);
  EXPECT_EQ(next_step(task, facts, kNow).status.err, "task: non-zero exit (143): dockerexec: unhealthy container");
}

TEST(TaskStep, FailuresOfTheEndAreTriedAgain) {
  struct Row {
    const char* what;
    Attempt TaskFacts::* attempt;
    bool running, absent;
    TaskAction expected;
  };
  for (const Row& row : {Row{"kill", &TaskFacts::kill, true, false, TaskAction::kSendKill},
                         Row{"release", &TaskFacts::release, false, false, TaskAction::kRelease},
                         Row{"removal", &TaskFacts::removal, false, true, TaskAction::kRemove}}) {
    TaskFacts facts = facts_in(TaskState::kFailed);
    facts.container.state = row.running ? Container::kRunning : Container::kExited;
    facts.absent = row.absent;
    facts.stop_signal = {Go::kFailed, "no"};
    facts.stop_sent_at = kNow - std::chrono::hours(1);
    facts.*row.attempt = {Go::kFailed, "busy", kNow};
    const model::Task task = task_with(TaskState::kShutdown);
    const TaskStep waits = next_step(task, facts, kNow);
    EXPECT_EQ(waits.action, TaskAction::kNone) << row.what;
    EXPECT_EQ(waits.wake, kNow + kRetryDelay) << row.what;
    EXPECT_EQ(next_step(task, facts, kNow + kRetryDelay).action, row.expected) << row.what;
  }
}

// Whatever happens in whatever order: states only go forward, a running container ends up with a network, nothing is
// started without one, and a forgotten task is removed with nothing running.
TEST(TaskStep, RandomLives) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    std::mt19937 random(seed);
    const auto chance = [&](unsigned percent) { return random() % 100 < percent; };
    model::Task task = task_with(chance(50) ? TaskState::kReady : TaskState::kRunning);
    TaskFacts facts = facts_in(TaskState::kAssigned);
    facts.has_health_check = chance(50);
    Time now = kNow;
    bool removed = false;
    for (int i = 0; i < 400 && !removed; ++i) {
      now += std::chrono::milliseconds(random() % 3000);
      facts.network_ready = wants_network(task, facts) && chance(70);
      const TaskStep step = next_step(task, facts, now);
      ASSERT_GE(step.status.state, facts.status.state) << "seed " << seed;
      facts.status = step.status;
      if (facts.container.state == Container::kRunning) ASSERT_TRUE(wants_network(task, facts)) << "seed " << seed;
      switch (step.action) {
        case TaskAction::kPull:
          facts.image = chance(90) ? Attempt{Go::kDone, ""} : Attempt{Go::kFailed, "no"};
          break;
        case TaskAction::kStart:
          ASSERT_TRUE(facts.network_ready) << "seed " << seed;
          facts.start = chance(90) ? Attempt{Go::kDone, ""} : Attempt{Go::kFailed, "no"};
          if (facts.start.state == Go::kDone) facts.container.state = Container::kRunning;
          break;
        case TaskAction::kSendStopSignal:
          facts.stop_signal = {Go::kDone, ""};
          facts.stop_sent_at = now;
          if (chance(50)) facts.container.state = Container::kExited;
          break;
        case TaskAction::kSendKill:
          facts.kill = chance(70) ? Attempt{Go::kDone, ""} : Attempt{Go::kFailed, "no", now};
          if (facts.kill.state == Go::kFailed) break;
          facts.container.state = Container::kExited;
          facts.container.exit_code = 137;
          break;
        case TaskAction::kRelease:
          ASSERT_NE(facts.container.state, Container::kRunning) << "seed " << seed;
          facts.release = chance(70) ? Attempt{Go::kDone, ""} : Attempt{Go::kFailed, "no", now};
          break;
        case TaskAction::kRemove:
          ASSERT_NE(facts.container.state, Container::kRunning) << "seed " << seed;
          removed = chance(70);
          facts.removal = {Go::kFailed, "no", now};
          break;
        case TaskAction::kNone:
          break;
      }
      if (facts.container.state == Container::kRunning && chance(5)) facts.container.state = Container::kExited;
      if (facts.container.state == Container::kRunning && chance(5)) facts.health = Health::kUnhealthy;
      if (facts.health == Health::kUnhealthy && facts.unhealthy_since == Time{}) facts.unhealthy_since = now;
      if (facts.health == Health::kStarting && chance(20)) facts.health = Health::kHealthy;
      if (i > 20 && chance(10)) task.desired_state = TaskState::kRunning;
      if (i > 100 && chance(10)) task.desired_state = TaskState::kShutdown;
      if (i > 200) facts.absent = true;
      // A restart of meshd forgets every attempt.
      if (chance(3)) {
        facts.image = facts.start = facts.stop_signal = facts.kill = facts.release = facts.removal = {};
        facts.stop_sent_at = {};
      }
    }
    EXPECT_TRUE(removed) << "seed " << seed << " ended in " << model::to_string(facts.status.state);
  }
}

TEST(Health, StreaksAndTheStartPeriod) {
  HealthPlan plan;
  plan.interval = std::chrono::seconds(2);
  plan.retries = 2;
  plan.start_period = std::chrono::seconds(5);
  plan.start_interval = std::chrono::seconds(1);
  HealthState state;
  const auto probe = [&](bool ok, int at) {
    const Time time = kNow + std::chrono::seconds(at);
    state = after_probe(std::move(state), plan, {ok, "", time, time}, kNow);
  };
  EXPECT_EQ(next_probe_at(state, plan, kNow), kNow + std::chrono::seconds(1)) << "within the start period";
  probe(false, 1);
  probe(false, 2);
  probe(false, 3);
  EXPECT_EQ(state.health, Health::kStarting) << "failures of the start period do not count";
  EXPECT_EQ(state.failing_streak, 0);
  probe(false, 5);
  EXPECT_EQ(state.failing_streak, 1);
  EXPECT_EQ(next_probe_at(state, plan, kNow), kNow + std::chrono::seconds(7)) << "after it";
  probe(true, 7);
  EXPECT_EQ(state.health, Health::kHealthy);
  EXPECT_EQ(state.failing_streak, 0);
  probe(false, 9);
  EXPECT_EQ(state.health, Health::kHealthy);
  probe(false, 11);
  EXPECT_EQ(state.health, Health::kUnhealthy);
  EXPECT_EQ(state.log.size(), 5U);
}

TEST(Health, SuccessInTheStartPeriodEndsIt) {
  HealthPlan plan;
  plan.retries = 1;
  plan.start_period = std::chrono::seconds(100);
  HealthState state = after_probe({}, plan, {true, "", kNow, kNow}, kNow);
  EXPECT_EQ(next_probe_at(state, plan, kNow), kNow + plan.interval);
  state = after_probe(std::move(state), plan, {false, "", kNow, kNow}, kNow);
  EXPECT_EQ(state.health, Health::kUnhealthy) << "it is not starting any more";
}

}  // namespace
}  // namespace mesh::agent
