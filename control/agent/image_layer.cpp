#include "control/agent/image_layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <locale.h>
#include <memory>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "base/fd.h"
#include "control/agent/layer_tree.h"
#include "control/agent/sha256.h"

namespace mesh::agent {
namespace {

constexpr std::size_t kChunkBytes = 256U << 10U;

struct CloseArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};
using ArchivePtr = std::unique_ptr<archive, CloseArchive>;

std::unexpected<Error> archive_error(archive* a, std::string_view what) {
  const char* why = archive_error_string(a);
  return fail(ErrorKind::kInvalid,
              fmt::format("{}: {}; the layer is corrupt or was cut short", what, why == nullptr ? "unreadable" : why));
}

// libarchive converts names to the thread's locale; in "C" every name beyond ASCII would be lost.
class Utf8Locale {
 public:
  Utf8Locale() : locale_(newlocale(LC_ALL_MASK, "C.UTF-8", nullptr)) {
    if (locale_ != nullptr) before_ = uselocale(locale_);
  }
  ~Utf8Locale() {
    if (locale_ == nullptr) return;
    uselocale(before_);
    freelocale(locale_);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t locale_;
  locale_t before_ = nullptr;
};

// The blob's file, hashed as it is read.
struct BlobStream {
  Fd file;
  Sha256 sum;
  std::vector<char> buffer = std::vector<char>(kChunkBytes);

  static la_ssize_t read(archive* a, void* self, const void** out) {
    auto* stream = static_cast<BlobStream*>(self);
    for (;;) {
      const ssize_t got = ::read(stream->file.get(), stream->buffer.data(), stream->buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) archive_set_error(a, errno, "read of the blob failed");
      if (got > 0) stream->sum.add(stream->buffer.data(), static_cast<std::size_t>(got));
      *out = stream->buffer.data();
      return got;
    }
  }
};

// The uncompressed stream, hashed as it is read: the diff id.
struct PlainStream {
  archive* source = nullptr;
  Sha256 sum;
  std::vector<char> buffer = std::vector<char>(kChunkBytes);
  bool broken = false;

  static la_ssize_t read(archive* a, void* self, const void** out) {
    auto* stream = static_cast<PlainStream*>(self);
    const la_ssize_t got = archive_read_data(stream->source, stream->buffer.data(), stream->buffer.size());
    if (got < 0) {
      stream->broken = true;
      archive_set_error(a, EIO, "%s", archive_error_string(stream->source));
      return -1;
    }
    if (got > 0) stream->sum.add(stream->buffer.data(), static_cast<std::size_t>(got));
    *out = stream->buffer.data();
    return got;
  }
};

LayerEntry read_entry(archive_entry* raw, std::string path) {
  LayerEntry entry;
  entry.path = std::move(path);
  entry.mode = archive_entry_mode(raw);
  entry.uid = static_cast<uid_t>(archive_entry_uid(raw));
  entry.gid = static_cast<gid_t>(archive_entry_gid(raw));
  entry.device = archive_entry_rdev(raw);
  entry.modified = {archive_entry_mtime(raw), archive_entry_mtime_nsec(raw)};
  if (const char* link = archive_entry_symlink(raw); link != nullptr) entry.link_target = link;
  if (const char* link = archive_entry_hardlink(raw); link != nullptr) entry.hard_link = link;
  archive_entry_xattr_reset(raw);
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  while (archive_entry_xattr_next(raw, &name, &value, &size) == ARCHIVE_OK) {
    entry.xattrs.emplace_back(name, std::string(static_cast<const char*>(value), size));
  }
  return entry;
}

Status write_all(int fd, const void* data, std::size_t size, off_t offset) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t wrote = pwrite(fd, bytes, size, offset);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return fail_errno("write", errno);
    bytes += wrote;
    size -= static_cast<std::size_t>(wrote);
    offset += wrote;
  }
  return {};
}

class Unpacking {
 public:
  Unpacking(archive* tar, LayerTree& tree, const LayerLimits& limits) : tar_(tar), tree_(tree), limits_(limits) {}

  Status run() {
    for (;;) {
      archive_entry* raw = nullptr;
      const int got = archive_read_next_header(tar_, &raw);
      if (got == ARCHIVE_EOF) return tree_.finish();
      if (got != ARCHIVE_OK && got != ARCHIVE_WARN) return archive_error(tar_, "layer archive");
      if (++entries_ > limits_.entries_max) {
        return fail(ErrorKind::kExhausted, fmt::format("layer has more than {} entries", limits_.entries_max));
      }
      const char* path = archive_entry_pathname(raw);
      if (path == nullptr) return fail(ErrorKind::kInvalid, "layer archive: an entry's name is no valid text");
      const LayerEntry entry = read_entry(raw, path);
      TRY(tree_.add(entry, [&](int fd) { return copy_content(fd, archive_entry_size(raw)); }));
    }
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  Status copy_content(int fd, std::int64_t size) {
    for (;;) {
      const void* data = nullptr;
      std::size_t count = 0;
      la_int64_t offset = 0;
      const int got = archive_read_data_block(tar_, &data, &count, &offset);
      if (got == ARCHIVE_EOF) break;
      if (got != ARCHIVE_OK && got != ARCHIVE_WARN) return archive_error(tar_, "contents");
      bytes_ += count;
      if (bytes_ > limits_.bytes_max) {
        return fail(ErrorKind::kExhausted, fmt::format("layer unpacks to more than {} bytes", limits_.bytes_max));
      }
      TRY(write_all(fd, data, count, offset));
    }
    // A sparse file ends in a hole.
    if (ftruncate(fd, size) != 0) return fail_errno("set size", errno);
    return {};
  }

  archive* tar_;
  LayerTree& tree_;
  const LayerLimits& limits_;
  std::uint64_t entries_ = 0;
  std::uint64_t bytes_ = 0;
};

Status open_plain(archive* source, LayerPacking packing, BlobStream& blob) {
  archive_read_support_format_raw(source);
  archive_read_support_format_empty(source);
  if (packing == LayerPacking::kGzip) archive_read_support_filter_gzip(source);
  if (packing == LayerPacking::kZstd) archive_read_support_filter_zstd(source);
  archive_entry* raw = nullptr;
  if (archive_read_open(source, &blob, nullptr, BlobStream::read, nullptr) != ARCHIVE_OK ||
      archive_read_next_header(source, &raw) != ARCHIVE_OK) {
    return archive_error(source, "layer blob");
  }
  if (packing != LayerPacking::kPlain && archive_filter_count(source) < 2) {
    return fail(ErrorKind::kInvalid, "layer blob: it is not compressed as its media type says; the layer is corrupt");
  }
  return {};
}

// What follows the archive's end (padding, usually) belongs to both digests.
Status drain(PlainStream& plain, BlobStream& blob) {
  std::vector<char> rest(kChunkBytes);
  for (;;) {
    const la_ssize_t got = archive_read_data(plain.source, rest.data(), rest.size());
    if (got < 0) return archive_error(plain.source, "layer blob");
    if (got == 0) break;
    plain.sum.add(rest.data(), static_cast<std::size_t>(got));
  }
  const void* unused = nullptr;
  while (BlobStream::read(plain.source, &blob, &unused) > 0) {
  }
  return {};
}

}  // namespace

Result<UnpackedLayer> unpack_layer(const std::string& blob_path, const std::string& digest, LayerPacking packing,
                                   const std::string& target, const LayerLimits& limits) {
  const Utf8Locale locale;
  BlobStream blob;
  blob.file = Fd(open(blob_path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!blob.file) return fail_errno("open layer blob " + blob_path, errno);
  const ArchivePtr source(archive_read_new());
  TRY(open_plain(source.get(), packing, blob));

  PlainStream plain;
  plain.source = source.get();
  const ArchivePtr tar(archive_read_new());
  archive_read_support_format_tar(tar.get());
  archive_read_support_format_empty(tar.get());
  if (archive_read_open(tar.get(), &plain, nullptr, PlainStream::read, nullptr) != ARCHIVE_OK) {
    return archive_error(tar.get(), "layer archive");
  }
  LayerTree tree = TRY(LayerTree::open(target));
  Unpacking unpacking(tar.get(), tree, limits);
  TRY(unpacking.run());
  TRY(drain(plain, blob));

  if (const std::string got = blob.sum.digest(); got != digest) {
    return fail(ErrorKind::kInvalid,
                fmt::format("layer blob has digest {}, expected {}; the layer is corrupt", got, digest));
  }
  return UnpackedLayer{plain.sum.digest(), unpacking.bytes()};
}

}  // namespace mesh::agent
