#include "control/agent/records.h"

#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "control/agent/table_merge.h"

namespace mesh::agent {
namespace {

constexpr std::size_t kRecordBytesMax = 256U << 20U;  // tables of 10,000 services with their rings

constexpr std::size_t kChangesBytesMax = 4U << 20U;  // a second's reading at the start

std::string records_path(const std::string& data_dir) { return data_dir + "/agent/tasks.json"; }
std::string changes_path(const std::string& data_dir) { return data_dir + "/agent/tables.changes"; }
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

// A crash can leave a part of a line, which nobody was told of; what does not follow from the tables (theirs were
// written meanwhile, or lost) is no change of them.
Result<model::EndpointTables> load_tables(const std::string& data_dir) {
  auto tables = TRY(load<model::EndpointTables>(tables_path(data_dir)));
  const std::string path = changes_path(data_dir);
  if (access(path.c_str(), F_OK) != 0) return tables;
  const std::string text = TRY(read_file(path, kRecordBytesMax));
  TableMerger merger(tables);
  for (const std::string_view line : split(text, '\n')) {
    const Result<Json> value = parse_json(line, kRecordBytesMax);
    const auto change = value ? decode<model::TableChange>(*value) : Result<model::TableChange>(model::TableChange{});
    if (value && change) (void)merger.merge(*change);
  }
  return tables;
}

Status save_records(const std::string& data_dir, const NodeRecords& records) {
  TRY(make_directories(data_dir + "/agent", 0700));
  return write_file(records_path(data_dir), to_text(encode(records)), 0600);
}

Status save_tables(const std::string& data_dir, const model::EndpointTables& tables) {
  TRY(make_directories(data_dir + "/agent", 0700));
  TRY(write_file(tables_path(data_dir), to_text(encode(tables)), 0600));
  malloc_trim(0);  // the values and their text were larger than the tables
  return remove_tree(changes_path(data_dir));
}

Result<bool> save_changes(const std::string& data_dir, const std::vector<model::TableChange>& changes) {
  const std::string path = changes_path(data_dir);
  // The line before may be torn: each begins and ends its own.
  std::string lines;
  for (const model::TableChange& change : changes) lines += "\n" + to_text(encode(change)) + "\n";
  struct stat before{};
  const bool exists = stat(path.c_str(), &before) == 0;
  const std::size_t size = lines.size() + (exists ? static_cast<std::size_t>(before.st_size) : 0);
  if (size > kChangesBytesMax || access(tables_path(data_dir).c_str(), F_OK) != 0) return false;
  TRY(append_file(path, lines, 0600));
  return true;
}

Status remove_records(const std::string& data_dir) { return remove_tree(data_dir + "/agent"); }

}  // namespace mesh::agent
