// What the scenarios of the manager share.
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/manager_lab.h"

namespace mesh::manager::lab {

using model::EndpointState;
using model::TaskState;
using model::UpdateState;
using testing::HasSubstr;

inline void publish(model::ServiceSpec& spec, std::uint16_t port, std::uint16_t target = 80) {
  if (!spec.endpoint_spec) spec.endpoint_spec.emplace();
  spec.endpoint_spec->ports.push_back({.target_port = target, .published_port = port});
}
inline void image(model::ServiceSpec& spec, const std::string& name) {
  spec.task_template.container_spec->image = name;
}

class ManagerTest : public testing::Test {
 protected:
  void converge(const std::string& service) {
    ASSERT_TRUE(lab_.run_until([&] { return lab_.converged(service); })) << lab_.describe(service);
  }
  std::optional<UpdateState> update_state(const std::string& service) {
    const auto& status = lab_.view().service(service)->update_status;
    return status ? std::optional(status->state) : std::nullopt;
  }
  std::set<std::string> ids(const std::string& service) {
    std::set<std::string> result;
    for (const model::Task* task : lab_.running(service)) result.insert(task->id);
    return result;
  }
  const model::PortRow& port(const std::string& service, std::uint16_t number = 8010) {
    return lab_.view().port(fmt::format("{}/tcp/{}", service, number))->row;
  }
  Lab lab_{1};
};

}  // namespace mesh::manager::lab
