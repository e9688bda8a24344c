// What the agent remembers over a restart of meshd: its tasks with their last status, and the tables its kernel holds.
// Two files below <data_dir>/agent, each replaced in one step; and tables.changes, to which changes of the tables are
// added, since to write all of them anew takes most of a second with 10,000 services.
#pragma once

#include <string>
#include <vector>

#include "control/agent/node_view.h"
#include "control/model/endpoint_table.h"
#include "control/model/task.h"

namespace mesh::agent {

struct TaskRecord {
  model::Task task;
  model::TaskStatus status;
  bool absent = false;
};
template <class Visit>
constexpr bool json_fields(const TaskRecord*, Visit&& visit) {
  return visit("Task", &TaskRecord::task) && visit("Status", &TaskRecord::status) &&
         visit("Absent", &TaskRecord::absent);
}

struct NodeRecords {
  GatewayFacts gateway;
  std::vector<TaskRecord> tasks;
};
template <class Visit>
constexpr bool json_fields(const NodeRecords*, Visit&& visit) {
  return visit("Gateway", &NodeRecords::gateway) && visit("Tasks", &NodeRecords::tasks);
}

// Absent files give empty values; unreadable ones an error that names the file.
[[nodiscard]] Result<NodeRecords> load_records(const std::string& data_dir);
[[nodiscard]] Result<model::EndpointTables> load_tables(const std::string& data_dir);
Status save_records(const std::string& data_dir, const NodeRecords& records);
Status save_tables(const std::string& data_dir, const model::EndpointTables& tables);
// Adds to what save_tables() wrote. False: enough was added, the tables are to be saved as a whole.
[[nodiscard]] Result<bool> save_changes(const std::string& data_dir, const std::vector<model::TableChange>& changes);
Status remove_records(const std::string& data_dir);

}  // namespace mesh::agent
