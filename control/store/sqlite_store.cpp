#include "control/store/sqlite_store.h"

#include <array>
#include <sqlite3.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "control/store/checks.h"
#include "control/store/watchers.h"

namespace mesh::store {
namespace {

constexpr int kSchemaVersion = 1;
constexpr int kApplicationId = 0x6d657368;  // "mesh"

constexpr const char* kSchema = R"sql(
CREATE TABLE objects (
  kind TEXT NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL, version INTEGER NOT NULL,
  PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE store_version (version INTEGER NOT NULL);
INSERT INTO store_version VALUES (0);
)sql";

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

class SqliteStore final : public Store {
 public:
  SqliteStore(std::string path, Database database) : path_(std::move(path)), database_(std::move(database)) {}

  Status set_up();
  Result<std::uint64_t> commit(const std::vector<Change>& changes, const std::vector<Precondition>& preconditions,
                               Durability durability) override;
  [[nodiscard]] Result<Snapshot> snapshot() const override;
  Result<std::unique_ptr<Watch>> watch(std::uint64_t from, std::function<void(const Batch&)> on_batch) override {
    return watchers_.add(from, std::move(on_batch));
  }

 private:
  [[nodiscard]] std::unexpected<Error> error(std::string_view what) const;
  Status execute(const char* sql);
  Result<Statement> prepare(const char* sql) const;
  Result<std::int64_t> single_number(const char* sql) const;
  Status check_preconditions(const std::vector<Precondition>& preconditions);
  Status write(const std::vector<Change>& changes, std::uint64_t version);
  Status set_durability(Durability durability);

  std::string path_;
  Database database_;
  Statement select_version_, upsert_, remove_, bump_;
  std::uint64_t version_ = 0;
  std::optional<Durability> durability_;
  Watchers watchers_;
};

std::unexpected<Error> SqliteStore::error(std::string_view what) const {
  const int code = sqlite3_errcode(database_.get()) & 0xff;
  const std::string why = sqlite3_errmsg(database_.get());
  switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fail(
          ErrorKind::kConflict,
          fmt::format("{} is in use by another process: is a second meshd running on this data directory?", path_));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return fail(ErrorKind::kInternal,
                  fmt::format("{}: {} is damaged ({}); restore it from a copy, or move it away and make a new cluster",
                              what, path_, why));
    case SQLITE_FULL:
      return fail(ErrorKind::kExhausted, fmt::format("{}: no space left for {}", what, path_));
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return fail(ErrorKind::kForbidden, fmt::format("{}: {}: {}", what, path_, why));
    default:
      return fail(ErrorKind::kInternal, fmt::format("{}: {}: {}", what, path_, why));
  }
}

Status SqliteStore::execute(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return error("store");
  return {};
}

Result<Statement> SqliteStore::prepare(const char* sql) const {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database_.get(), sql, -1, &statement, nullptr) != SQLITE_OK) return error("store");
  return Statement(statement);
}

Result<std::int64_t> SqliteStore::single_number(const char* sql) const {
  const Statement statement = TRY(prepare(sql));
  if (sqlite3_step(statement.get()) != SQLITE_ROW) return error("read the store");
  return sqlite3_column_int64(statement.get(), 0);
}

Status SqliteStore::set_up() {
  // Exclusive: the lock is taken by the first read and kept until the file is closed; WAL then needs no shared memory.
  TRY(execute("PRAGMA locking_mode=EXCLUSIVE"));
  TRY(execute("PRAGMA journal_mode=WAL"));
  const std::int64_t schema = TRY(single_number("PRAGMA user_version"));
  if (schema > kSchemaVersion) {
    return fail(
        ErrorKind::kUnsupported,
        fmt::format("{} was written by a newer meshd (layout {}, this one knows {}): install that version again", path_,
                    schema, kSchemaVersion));
  }
  TRY(execute("BEGIN EXCLUSIVE"));
  if (schema == 0) {
    TRY(execute(kSchema));
    TRY(execute(
        fmt::format("PRAGMA user_version={}; PRAGMA application_id={}", kSchemaVersion, kApplicationId).c_str()));
  }
  TRY(execute("COMMIT"));
  const Statement check = TRY(prepare("PRAGMA quick_check(1)"));
  if (sqlite3_step(check.get()) != SQLITE_ROW) return error("check the store");
  const std::string verdict = reinterpret_cast<const char*>(sqlite3_column_text(check.get(), 0));
  if (verdict != "ok") {
    return fail(ErrorKind::kInternal,
                fmt::format("{} is damaged ({}); restore it from a copy, or move it away and make a new cluster", path_,
                            verdict));
  }
  select_version_ = TRY(prepare("SELECT version FROM objects WHERE kind=? AND id=?"));
  upsert_ =
      TRY(prepare("INSERT INTO objects VALUES (?,?,?,?) ON CONFLICT (kind,id) "
                  "DO UPDATE SET json=excluded.json, version=excluded.version"));
  remove_ = TRY(prepare("DELETE FROM objects WHERE kind=? AND id=?"));
  bump_ = TRY(prepare("UPDATE store_version SET version=?"));
  version_ = static_cast<std::uint64_t>(TRY(single_number("SELECT version FROM store_version")));
  watchers_.start_at(version_);
  return {};
}

void bind_key(sqlite3_stmt* statement, Kind kind, const std::string& id) {
  const std::string_view name = to_string(kind);
  sqlite3_bind_text(statement, 1, name.data(), static_cast<int>(name.size()), SQLITE_STATIC);
  sqlite3_bind_text(statement, 2, id.data(), static_cast<int>(id.size()), SQLITE_STATIC);
}

Status SqliteStore::check_preconditions(const std::vector<Precondition>& preconditions) {
  for (const Precondition& precondition : preconditions) {
    sqlite3_stmt* statement = select_version_.get();
    sqlite3_reset(statement);
    bind_key(statement, precondition.kind, precondition.id);
    const int found = sqlite3_step(statement);
    const auto actual = found == SQLITE_ROW ? static_cast<std::uint64_t>(sqlite3_column_int64(statement, 0)) : 0;
    sqlite3_reset(statement);
    if (found != SQLITE_ROW && found != SQLITE_DONE) return error("read the store");
    TRY(check_precondition(precondition, actual));
  }
  return {};
}

Status SqliteStore::write(const std::vector<Change>& changes, std::uint64_t version) {
  for (const Change& change : changes) {
    sqlite3_stmt* statement = change.json ? upsert_.get() : remove_.get();
    sqlite3_reset(statement);
    bind_key(statement, change.kind, change.id);
    if (change.json) {
      sqlite3_bind_text(statement, 3, change.json->data(), static_cast<int>(change.json->size()), SQLITE_STATIC);
      sqlite3_bind_int64(statement, 4, static_cast<sqlite3_int64>(version));
    }
    const int done = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    if (done != SQLITE_DONE) return error("write the store");
  }
  sqlite3_reset(bump_.get());
  sqlite3_bind_int64(bump_.get(), 1, static_cast<sqlite3_int64>(version));
  const int done = sqlite3_step(bump_.get());
  sqlite3_reset(bump_.get());
  if (done != SQLITE_DONE) return error("write the store");
  return {};
}

// In WAL mode FULL syncs the log at each commit, NORMAL at check points only; neither can tear a commit.
Status SqliteStore::set_durability(Durability durability) {
  if (durability_ == durability) return {};
  TRY(execute(durability == Durability::kDurable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
  durability_ = durability;
  return {};
}

Result<std::uint64_t> SqliteStore::commit(const std::vector<Change>& changes,
                                          const std::vector<Precondition>& preconditions, Durability durability) {
  TRY(check_changes(changes));
  TRY(check_preconditions(preconditions));  // nobody else writes: the lock is ours
  if (changes.empty()) return version_;
  TRY(set_durability(durability));
  TRY(execute("BEGIN IMMEDIATE"));
  Status done = write(changes, version_ + 1);
  if (done) done = execute("COMMIT");
  if (!done) {
    sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    return std::unexpected(std::move(done).error());
  }
  ++version_;
  watchers_.publish({version_, changes});
  return version_;
}

Result<Snapshot> SqliteStore::snapshot() const {
  Snapshot snapshot{version_, {}};
  const Statement rows = TRY(prepare("SELECT kind,id,json,version FROM objects ORDER BY kind,id"));
  const auto text = [&](int column) {
    return std::string(reinterpret_cast<const char*>(sqlite3_column_text(rows.get(), column)),
                       static_cast<std::size_t>(sqlite3_column_bytes(rows.get(), column)));
  };
  for (;;) {
    const int step = sqlite3_step(rows.get());
    if (step == SQLITE_DONE) return snapshot;
    if (step != SQLITE_ROW) return error("read the store");
    const auto kind = parse_kind(text(0));
    if (!kind) {
      return fail(ErrorKind::kUnsupported,
                  fmt::format("{} holds objects of kind \"{}\", which this meshd does not know", path_, text(0)));
    }
    snapshot.records.push_back(
        {*kind, text(1), text(2), static_cast<std::uint64_t>(sqlite3_column_int64(rows.get(), 3))});
  }
}

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite_store(const std::string& path) {
  const mode_t mask = umask(0077);  // the file and its log hold sealed secrets and specs: the owner's alone
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  umask(mask);
  Database database(raw);
  if (opened != SQLITE_OK) {
    return fail(ErrorKind::kForbidden,
                fmt::format("cannot open the store {}: {}", path, raw != nullptr ? sqlite3_errmsg(raw) : "no memory"));
  }
  auto store = std::make_unique<SqliteStore>(path, std::move(database));
  TRY(store->set_up());
  return store;
}

}  // namespace mesh::store
