#include <gtest/gtest.h>

#include "control/meshctl/progress.h"

namespace mesh::meshctl {
namespace {

using model::TaskState;

class ProgressOf : public testing::Test {
 protected:
  ProgressOf() {
    service_.id = "svc";
    service_.spec.name = "web";
    service_.spec.mode.replicated.emplace().replicas = 2;
    service_.spec.task_template.container_spec.emplace().image = "new";
  }

  model::Task& add(std::uint64_t slot, const char* image, TaskState state, TaskState desired = TaskState::kRunning) {
    model::Task task;
    task.id = "t" + std::to_string(tasks_.size());
    task.service_id = "svc";
    task.slot = slot;
    task.created_at = Time{std::chrono::seconds(100 + tasks_.size())};
    task.spec = service_.spec.task_template;
    task.spec.container_spec->image = image;
    task.status.state = state;
    task.desired_state = desired;
    tasks_.push_back(task);
    return tasks_.back();
  }

  Progress progress(bool rollback_wanted = false) { return progress_of(service_, tasks_, nodes_, rollback_wanted); }

  void set_update(model::UpdateState state) {
    service_.update_status = model::UpdateStatus{state, std::nullopt, std::nullopt, "because"};
  }

  model::Service service_;
  std::vector<model::Task> tasks_;
  std::vector<model::Node> nodes_;
};

TEST_F(ProgressOf, CompleteWhenAllRun) {
  add(1, "new", TaskState::kRunning);
  add(2, "new", TaskState::kPreparing);
  EXPECT_EQ(progress().running, 1u);
  EXPECT_FALSE(progress().complete);
  tasks_[1].status.state = TaskState::kRunning;
  EXPECT_TRUE(progress().complete);
}

TEST_F(ProgressOf, TasksOfTheOldSpecDoNotCount) {
  add(1, "old", TaskState::kRunning);
  add(2, "old", TaskState::kRunning);
  EXPECT_EQ(progress().running, 0u);
  EXPECT_FALSE(progress().complete);
  add(1, "new", TaskState::kRunning);
  EXPECT_EQ(progress().running, 1u);
}

TEST_F(ProgressOf, AnUpdateGoingOnIsNotComplete) {
  add(1, "new", TaskState::kRunning);
  add(2, "new", TaskState::kRunning);
  set_update(model::UpdateState::kUpdating);
  EXPECT_FALSE(progress().complete);
  set_update(model::UpdateState::kCompleted);
  EXPECT_TRUE(progress().complete);
  EXPECT_FALSE(progress().failure);
}

TEST_F(ProgressOf, PausesAndRollbacksAreFailures) {
  set_update(model::UpdateState::kPaused);
  EXPECT_EQ(progress().failure, "service update paused: because");
  set_update(model::UpdateState::kRollbackPaused);
  EXPECT_TRUE(progress().failure);
  set_update(model::UpdateState::kRollbackCompleted);
  EXPECT_TRUE(progress().failure);
  EXPECT_FALSE(progress(true).failure);
  set_update(model::UpdateState::kRollbackStarted);
  EXPECT_TRUE(progress().rolling_back);
  EXPECT_FALSE(progress().failure);
}

TEST_F(ProgressOf, ShowsWhyASlotDoesNotRun) {
  auto& failed = add(1, "new", TaskState::kFailed, TaskState::kShutdown);
  failed.status.err = "task: non-zero exit (1)";
  add(1, "new", TaskState::kReady, TaskState::kReady);
  const auto lines = progress_lines(progress());
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], "overall progress: 0 out of 2 tasks");
  EXPECT_EQ(lines[1], "1/2: ready (task: non-zero exit (1))");
}

TEST_F(ProgressOf, ScalingDownWaitsForTheRest) {
  for (std::uint64_t slot = 1; slot <= 3; ++slot) add(slot, "new", TaskState::kRunning);
  EXPECT_FALSE(progress().complete);
  tasks_[2].desired_state = TaskState::kRemove;
  EXPECT_TRUE(progress().complete);
}

TEST_F(ProgressOf, NoReplicasIsCompleteAtOnce) {
  service_.spec.mode.replicated->replicas = 0;
  EXPECT_TRUE(progress().complete);
}

TEST_F(ProgressOf, ATaskThatEndedWellAndIsNotRestartedCounts) {
  service_.spec.mode.replicated->replicas = 1;
  service_.spec.task_template.restart_policy = model::RestartPolicy{model::RestartCondition::kNone, {}, {}, {}};
  add(1, "new", TaskState::kComplete, TaskState::kShutdown);
  EXPECT_TRUE(progress().complete);
  service_.spec.task_template.restart_policy->condition = model::RestartCondition::kAny;
  tasks_[0].spec.restart_policy = service_.spec.task_template.restart_policy;
  EXPECT_FALSE(progress().complete);
}

TEST_F(ProgressOf, GlobalServicesCountNodes) {
  service_.spec.mode = {};
  service_.spec.mode.global.emplace();
  EXPECT_FALSE(progress().complete);  // nothing is known yet
  service_.service_status = model::ServiceStatus{0, 2, 0};
  add(0, "new", TaskState::kRunning).node_id = "n1";
  add(0, "new", TaskState::kStarting).node_id = "n2";
  EXPECT_EQ(progress().running, 1u);
  EXPECT_EQ(progress().wanted, 2u);
  tasks_[1].status.state = TaskState::kRunning;
  EXPECT_TRUE(progress().complete);
}

TEST_F(ProgressOf, ManySlotsAreOneLine) {
  service_.spec.mode.replicated->replicas = kSlotLinesMax + 1;
  for (std::uint64_t slot = 1; slot <= kSlotLinesMax + 1; ++slot) add(slot, "new", TaskState::kStarting);
  EXPECT_EQ(progress_lines(progress()).size(), 1u);
}

TEST_F(ProgressOf, MonitorIsTheSpecsOrFiveSeconds) {
  EXPECT_EQ(monitor_of(service_, false), std::chrono::seconds(5));
  service_.spec.update_config.emplace().monitor = std::chrono::seconds(2);
  EXPECT_EQ(monitor_of(service_, false), std::chrono::seconds(2));
  EXPECT_EQ(monitor_of(service_, true), std::chrono::seconds(5));
}

}  // namespace
}  // namespace mesh::meshctl
