#include "control/agent/records.h"

#include <unistd.h>

#include "base/file.h"

namespace mesh::agent {
namespace {

constexpr std::size_t kRecordBytesMax = 256U << 20U;  // tables of 10,000 services with their rings

std::string records_path(const std::string& data_dir) { return data_dir + "/agent/tasks.json"; }
std::string tables_path(const std::string& data_dir) { return data_dir + "/agent/tables.json"; }

template <class T>
Result<T> load(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) return T{};
  const std::string text = TRY(read_file(path, kRecordBytesMax));
  const Json value = TRY_IN(path, parse_json(text, kRecordBytesMax));
  return TRY_IN(path, decode<T>(value));
}

}  // namespace

Result<NodeRecords> load_records(const std::string& data_dir) { return load<NodeRecords>(records_path(data_dir)); }
Result<model::EndpointTables> load_tables(const std::string& data_dir) {
  return load<model::EndpointTables>(tables_path(data_dir));
}

Status save_records(const std::string& data_dir, const NodeRecords& records) {
  TRY(make_directories(data_dir + "/agent", 0700));
  return write_file(records_path(data_dir), to_text(encode(records)), 0600);
}

Status save_tables(const std::string& data_dir, const model::EndpointTables& tables) {
  TRY(make_directories(data_dir + "/agent", 0700));
  return write_file(tables_path(data_dir), to_text(encode(tables)), 0600);
}

Status remove_records(const std::string& data_dir) { return remove_tree(data_dir + "/agent"); }

}  // namespace mesh::agent
