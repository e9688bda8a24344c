// Which tables of an earlier meshd are used on, which are made anew, whose rows are taken over, and what these become.
#include <arpa/inet.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include "bpf/lib/flow.h"
#include "dataplane/abi_previous.h"
#include "dataplane/takeover.h"

namespace mesh::dataplane {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

// Two that user space writes, and three of the programs'.
MapShapes shapes() {
  return {{"mesh_config", {BPF_MAP_TYPE_ARRAY, 4, sizeof(mesh_config), 1, 0}},
          {"mesh_rings", {BPF_MAP_TYPE_ARRAY, 4, 64, 1000, BPF_F_MMAPABLE}},
          {"mesh_flows", {BPF_MAP_TYPE_ARRAY, 4, sizeof(mesh_flow_set), 64, BPF_F_MMAPABLE}},
          {"mesh_counters", {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, MESH_COUNTERS, 0}},
          {"mesh_binding_counters", {BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(mesh_binding_traffic), 100, 0}}};
}
MapShapes previous_shapes() {
  MapShapes then = shapes();
  then["mesh_config"].value_size = previous::kConfigSize;
  return then;
}

TEST(Takeover, WhatIsThereAlreadyIsUsedOn) {
  const Takeover takeover = take_over(shapes(), shapes(), MESH_ABI_VERSION);
  EXPECT_THAT(takeover.anew, IsEmpty());
  EXPECT_EQ(takeover.lost, "");
}

TEST(Takeover, WhereNothingIsAllIsMadeAndNothingSaid) {
  const Takeover takeover = take_over(shapes(), {}, 0);
  EXPECT_EQ(takeover.anew.size(), shapes().size());
  EXPECT_THAT(takeover.taken, IsEmpty());
  EXPECT_EQ(takeover.lost, "");
}

TEST(Takeover, ATableOfAnotherSizeTakesAllThatUserSpaceWritesAlongButNotTheFlows) {
  MapShapes then = shapes();
  then["mesh_rings"].rows_max = 2000;
  const Takeover takeover = take_over(shapes(), then, MESH_ABI_VERSION);
  EXPECT_THAT(takeover.anew, UnorderedElementsAre("mesh_config", "mesh_rings"));
  EXPECT_EQ(takeover.taken, takeover.anew);
  EXPECT_EQ(takeover.lost, "");
}

TEST(Takeover, AFlowTableOfAnotherSizeIsTakenOverWithTheSettingsThatTellItsSize) {
  MapShapes then = shapes();
  then["mesh_flows"].rows_max = 128;
  const Takeover takeover = take_over(shapes(), then, MESH_ABI_VERSION);
  EXPECT_THAT(takeover.taken, UnorderedElementsAre("mesh_config", "mesh_rings", "mesh_flows"));
}

TEST(Takeover, OfThePreviousVersionEverythingIsTakenOver) {
  const Takeover takeover = take_over(shapes(), previous_shapes(), previous::kVersion);
  EXPECT_THAT(takeover.taken, UnorderedElementsAre("mesh_config", "mesh_rings")) << "flows and counters are the same";
  EXPECT_EQ(takeover.lost, "");
}

TEST(Takeover, WhatCannotBeReadStartsEmptyAndItIsSaid) {
  struct Case {
    const char* name;
    MapShapes pinned;
    std::uint32_t version;
    std::string said;
    bool keeps_flows;
  };
  MapShapes stranger = shapes();
  stranger["mesh_rings"].key_size = 8;
  MapShapes other_config = shapes();
  other_config["mesh_config"].value_size = 100;
  MapShapes no_config = shapes();
  no_config.erase("mesh_config");
  MapShapes early_config = previous_shapes();
  const Case cases[] = {
      {"a newer version", shapes(), MESH_ABI_VERSION + 1, "version 5, this meshd has 4 and reads 3", false},
      {"an older version", shapes(), previous::kVersion - 1, "version 2", false},
      {"settings of another size", other_config, MESH_ABI_VERSION, "mesh_config has another layout", false},
      {"no settings", no_config, 0, "mesh_config is gone", false},
      {"a stranger's map", stranger, MESH_ABI_VERSION, "another layout have: mesh_rings", true},
      {"rows of the previous version in this one's", early_config, MESH_ABI_VERSION, "mesh_config has another", false},
  };
  for (const Case& c : cases) {
    const Takeover takeover = take_over(shapes(), c.pinned, c.version);
    EXPECT_THAT(takeover.lost, HasSubstr(c.said)) << c.name;
    EXPECT_THAT(takeover.anew, AllOf(Contains("mesh_config"), Contains("mesh_rings"))) << c.name;
    EXPECT_EQ(!takeover.anew.contains("mesh_flows"), c.keeps_flows) << c.name;
    EXPECT_EQ(takeover.taken.contains("mesh_config"), c.keeps_flows) << c.name;
  }
}

TEST(Takeover, AMapThatIsGoneIsMadeAndTheOthersKeepTheirRows) {
  MapShapes then = shapes();
  then.erase("mesh_rings");
  const Takeover takeover = take_over(shapes(), then, MESH_ABI_VERSION);
  EXPECT_THAT(takeover.anew, UnorderedElementsAre("mesh_config", "mesh_rings"));
  EXPECT_THAT(takeover.taken, UnorderedElementsAre("mesh_config"));
  EXPECT_EQ(takeover.lost, "");
}

TEST(Takeover, RowsAreConverted) {
  mesh_config config{};
  config.abi = previous::kVersion;
  config.flow_seed = 42;
  config.tick_shift = 8;
  const Row before{bytes_of(std::uint32_t{0}), bytes_of(config).substr(0, previous::kConfigSize)};
  const Row row = convert_row("mesh_config", previous::kVersion, before);
  EXPECT_EQ(row.key, before.key);
  ASSERT_EQ(row.value.size(), sizeof(mesh_config));
  const auto converted = value_of<mesh_config>(row.value);
  EXPECT_EQ(converted.abi, MESH_ABI_VERSION);
  EXPECT_EQ(converted.flow_seed, 42U) << "records are found by it";
  EXPECT_EQ(converted.tick_shift, 8) << "their marks are made of it";

  EXPECT_EQ(converted.endpoint_lines, 0U) << "there are none yet";

  // Of this version, and of what has not changed, nothing is touched.
  const Row ring{bytes_of(std::uint32_t{5}), std::string(64, 'r')};
  EXPECT_EQ(convert_row("mesh_rings", previous::kVersion, ring), ring);
  EXPECT_EQ(convert_row("mesh_config", MESH_ABI_VERSION, row), row);
}

TEST(Takeover, WhatIsMissedMostIsCarriedLast) {
  constexpr std::uint32_t kNow = 1'000'000;
  const auto flow = [&](std::uint32_t ticks_ago, unsigned int state) {
    return FlowEntry{.record = {}, .tag = 1, .mark = MESH_FLOW_MARK(kNow - ticks_ago, state)};
  };
  const FlowEntry fresh = flow(1, MESH_FLOW_CONFIRMED), idle = flow(100, MESH_FLOW_CONFIRMED), begun = flow(0, 0),
                  over = flow(1, MESH_FLOW_CONFIRMED | MESH_FLOW_RESET);
  std::vector<FlowEntry> flows = {fresh, over, idle, begun};
  sort_for_carrying(flows, kNow);
  EXPECT_EQ(flows[0].mark, over.mark);
  EXPECT_EQ(flows[1].mark, begun.mark);
  EXPECT_EQ(flows[2].mark, idle.mark);
  EXPECT_EQ(flows[3].mark, fresh.mark);
}

}  // namespace
}  // namespace mesh::dataplane
