// The view: fed by a watch it equals one that is loaded anew, and its indexes equal a search.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/store/memory_store.h"
#include "control/store/view.h"

namespace mesh::store {
namespace {

Change change_of(const model::Task& task) { return {Kind::kTask, task.id, to_text(encode(task))}; }

std::set<std::string> ids(const std::vector<const model::Task*>& tasks) {
  std::set<std::string> result;
  for (const model::Task* task : tasks) result.insert(task->id);
  return result;
}

TEST(View, FollowsTheStore) {
  std::mt19937 random(11);
  MemoryStore store;
  View view;
  ASSERT_TRUE(view.load(store.snapshot().value()));
  const auto watch = store.watch(0, [&](const Batch& batch) { EXPECT_TRUE(view.apply(batch)); });
  for (int step = 0; step < 300; ++step) {
    model::Task task;
    task.id = "t" + std::to_string(random() % 20);
    task.service_id = "s" + std::to_string(random() % 3);
    task.node_id = random() % 4 == 0 ? "" : "n" + std::to_string(random() % 3);
    Change change = change_of(task);
    if (random() % 4 == 0) change.json.reset();
    ASSERT_TRUE(store.commit({change}, {}, Durability::kRelaxed));

    View anew;
    ASSERT_TRUE(anew.load(store.snapshot().value()));
    ASSERT_EQ(view.version(), anew.version());
    ASSERT_EQ(view.tasks().size(), anew.tasks().size());
    for (const auto& [id, row] : anew.tasks()) ASSERT_EQ(*view.task(id), *row);
    for (const std::string key : {"0", "1", "2"}) {
      std::set<std::string> of_service, of_node;
      for (const auto& [id, row] : anew.tasks()) {
        if (row->service_id == "s" + key) of_service.insert(id);
        if (row->node_id == "n" + key) of_node.insert(id);
      }
      ASSERT_EQ(ids(view.tasks_of_service("s" + key)), of_service);
      ASSERT_EQ(ids(view.tasks_of_node("n" + key)), of_node);
    }
  }
}

TEST(View, SetsVersionsFromTheStore) {
  MemoryStore store;
  model::Task task;
  task.id = "t";
  task.version.index = 77;
  ASSERT_TRUE(store.commit({change_of(task)}, {}, Durability::kRelaxed));
  View view;
  ASSERT_TRUE(view.load(store.snapshot().value()));
  EXPECT_EQ(view.task("t")->version.index, 1U);
}

TEST(View, AnErrorChangesNothing) {
  View view;
  model::Task task;
  task.id = "t";
  ASSERT_TRUE(view.apply({1, {change_of(task)}}));
  const Status broken = view.apply({2, {{Kind::kTask, "t", std::nullopt}, {Kind::kTask, "u", "[]"}}});
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message, testing::HasSubstr("task u"));
  EXPECT_NE(view.task("t"), nullptr);
  EXPECT_EQ(view.version(), 1U);
  EXPECT_FALSE(view.apply({2, {{Kind::kTask, "other", change_of(task).json}}}))
      << "the id inside must be the id outside";
}

TEST(View, FindsAsUsersNameThings) {
  View view;
  const auto add = [&](const std::string& id, const std::string& name) {
    model::Service service;
    service.id = id;
    service.spec.name = name;
    view.put(service);
  };
  add("abc1", "web");
  add("abc2", "db");
  add("web2", "abc1x");
  EXPECT_EQ((*view.find_service("abc1"))->spec.name, "web");
  EXPECT_EQ((*view.find_service("web"))->id, "abc1") << "a name comes before a prefix";
  EXPECT_EQ((*view.find_service("web2"))->id, "web2");
  EXPECT_EQ((*view.find_service("abc2"))->spec.name, "db");
  EXPECT_EQ(view.find_service("abc").error().message, "service abc is ambiguous (2 matches found)");
  EXPECT_EQ(view.find_service("zzz").error().message, "service zzz not found");
  EXPECT_EQ(view.find_service("").error().kind, ErrorKind::kNotFound);
}

}  // namespace
}  // namespace mesh::store
