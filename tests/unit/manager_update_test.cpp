// Updates and rollbacks, one scenario each, in virtual time.
#include <algorithm>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/manager/manager.h"
#include "tests/unit/manager_scenario.h"

namespace mesh::manager::lab {
namespace {

TEST_F(ManagerTest, UpdatesOneByOneAndStopFirst) {
  const std::string web = lab_.create("web", 4);
  converge(web);
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { image(spec, "image:2"); }));
  std::size_t least = 4, replaced_at_once = 0;
  lab_.on_step = [&](const Step&) {
    least = std::min(least, lab_.running_on_hosts(web).size());
    std::size_t in_flight = 0;
    for (const model::Task* task : lab_.view().tasks_of_service(web)) {
      if (task->mesh.by_update && task->mesh.running_since == Time{}) ++in_flight;
    }
    replaced_at_once = std::max(replaced_at_once, in_flight);
  };
  lab_.tick();
  EXPECT_EQ(update_state(web), UpdateState::kUpdating);
  EXPECT_EQ(lab_.view().service(web)->update_status->message, "update in progress");
  converge(web);
  EXPECT_EQ(least, 3U);
  EXPECT_EQ(replaced_at_once, 1U);
  const Time done = lab_.now();
  EXPECT_EQ(update_state(web), UpdateState::kUpdating) << "watched for five more seconds";
  ASSERT_TRUE(lab_.run_until([&] { return update_state(web) == UpdateState::kCompleted; }));
  EXPECT_NEAR(static_cast<double>((lab_.now() - done).count()), 5e9, 5e8);
  EXPECT_EQ(lab_.view().service(web)->update_status->message, "update completed");
  EXPECT_TRUE(lab_.view().service(web)->update_status->completed_at);
  EXPECT_EQ(lab_.view().service(web)->previous_spec->task_template.container_spec->image, "image:1");
}

TEST_F(ManagerTest, ParallelismAndDelay) {
  const std::string web = lab_.create("web", 4, [](auto& spec) {
    auto& config = spec.update_config.emplace();
    config.parallelism = 2;
    config.delay = seconds(10);
  });
  converge(web);
  const Time begun = lab_.now();
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { image(spec, "image:2"); }));
  converge(web);
  EXPECT_GE(lab_.now() - begun, seconds(10)) << "two, a pause, two";
  EXPECT_LE(lab_.now() - begun, seconds(18));
}

TEST_F(ManagerTest, StartFirstNeverRunsFewer) {
  const std::string web = lab_.create("web", 3, [](auto& spec) {
    spec.update_config.emplace().order = model::UpdateOrder::kStartFirst;
    publish(spec, 8010);
  });
  converge(web);
  ASSERT_TRUE(lab_.run_until([&] { return port(web).owners.size() == 256; }));
  std::size_t least = 3;
  lab_.on_step = [&](const Step&) { least = std::min(least, lab_.running_on_hosts(web).size()); };
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { image(spec, "image:2"); }));
  converge(web);
  EXPECT_EQ(least, 3U);
  EXPECT_TRUE(lab_.run_until([&] { return update_state(web) == UpdateState::kCompleted; }));
}

TEST_F(ManagerTest, AFailingUpdatePauses) {
  const std::string web = lab_.create("web", 3);
  converge(web);
  lab_.fail_one_in = 1;
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { image(spec, "broken"); }));
  ASSERT_TRUE(lab_.run_until([&] { return update_state(web) == UpdateState::kPaused; })) << lab_.describe(web);
  EXPECT_THAT(lab_.view().service(web)->update_status->message,
              HasSubstr("update paused due to failure or early termination of task "));
  lab_.run_for(seconds(60));
  std::size_t old = 0;
  for (const model::Task* task : lab_.running(web)) old += task->spec.container_spec->image == "image:1" ? 1U : 0U;
  EXPECT_EQ(old, 2U) << "the slots that were not reached are untouched";
  lab_.fail_one_in = 0;
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { image(spec, "image:3"); }));
  EXPECT_TRUE(lab_.run_until([&] { return update_state(web) == UpdateState::kCompleted; }));
  EXPECT_TRUE(lab_.converged(web));
}

TEST_F(ManagerTest, AFailingUpdateRollsBack) {
  const std::string web = lab_.create(
      "web", 3, [](auto& spec) { spec.update_config.emplace().failure_action = model::FailureAction::kRollback; });
  converge(web);
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { image(spec, "broken"); }));
  lab_.fail_one_in = 1;
  ASSERT_TRUE(lab_.run_until([&] { return update_state(web) == UpdateState::kRollbackStarted; }));
  EXPECT_THAT(lab_.view().service(web)->update_status->message, HasSubstr("update rolled back due to failure"));
  lab_.fail_one_in = 0;
  ASSERT_TRUE(lab_.run_until([&] { return update_state(web) == UpdateState::kRollbackCompleted; }))
      << lab_.describe(web);
  EXPECT_EQ(lab_.view().service(web)->update_status->message, "rollback completed");
  EXPECT_EQ(lab_.view().service(web)->spec.task_template.container_spec->image, "image:1");
  EXPECT_FALSE(lab_.view().service(web)->previous_spec);
  EXPECT_TRUE(lab_.converged(web));
}

TEST_F(ManagerTest, ManualRollbackSwapsTheSpecs) {
  const std::string web = lab_.create("web", 2);
  const auto roll_back = [&] {
    return lab_.manager().update_service(web, lab_.view().service(web)->version.index, {}, ServiceRollback::kPrevious,
                                         lab_.now());
  };
  converge(web);
  EXPECT_EQ(roll_back().error().message, fmt::format("service {} does not have a previous spec", web));
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { image(spec, "image:2"); }));
  ASSERT_TRUE(lab_.run_until([&] { return update_state(web) == UpdateState::kCompleted; }));
  for (const char* expected : {"image:1", "image:2"}) {
    ASSERT_TRUE(roll_back());
    EXPECT_EQ(lab_.view().service(web)->update_status->message, "manually requested rollback");
    lab_.tick();
    ASSERT_TRUE(lab_.run_until([&] { return update_state(web) == UpdateState::kRollbackCompleted; }));
    EXPECT_EQ(lab_.running(web)[0]->spec.container_spec->image, expected);
  }
}

TEST_F(ManagerTest, AnUpdateThatDoesNotStartWaitsForEver) {
  const std::string web = lab_.create("web", 3);
  converge(web);
  lab_.never_starts = [](const model::Task& task) { return task.spec.container_spec->image == "slow"; };
  ASSERT_TRUE(lab_.update(web, [](auto& spec) { image(spec, "slow"); }));
  lab_.run_for(seconds(600));
  EXPECT_EQ(update_state(web), UpdateState::kUpdating);
  EXPECT_EQ(lab_.running(web).size(), 2U);
}

}  // namespace
}  // namespace mesh::manager::lab
