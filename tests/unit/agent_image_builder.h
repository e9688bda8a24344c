// Images made by hand for the agent's tests: tar archives entry by entry (so that hostile ones are possible too) and
// image directories that skopeo can push ("dir:" transport).
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"
#include "base/process.h"
#include "control/agent/sha256.h"

namespace mesh::agent::test {

// POSIX.1-2001 pax archives.
class TarWriter {
 public:
  struct Entry {
    std::string path;
    char type = '0';  // '0' file, '1' hard link, '2' symbolic link, '3' char, '4' block, '5' directory, '6' fifo
    std::string content;
    std::string link;
    unsigned mode = 0644;
    unsigned uid = 0, gid = 0;
    unsigned long mtime = 1'700'000'000;
    unsigned major = 0, minor = 0;
    std::vector<std::pair<std::string, std::string>> xattrs;
  };

  TarWriter& add(const Entry& entry) {
    std::string pax;
    for (const auto& [name, value] : entry.xattrs) pax += record("SCHILY.xattr." + name, value);
    if (entry.path.size() > 99) pax += record("path", entry.path);
    if (!pax.empty()) write("pax", 'x', pax, "", entry);
    write(entry.path.substr(0, 99), entry.type, entry.content, entry.link, entry);
    return *this;
  }
  TarWriter& file(std::string path, std::string content, unsigned mode = 0644) {
    return add({.path = std::move(path), .content = std::move(content), .mode = mode});
  }
  TarWriter& directory(std::string path, unsigned mode = 0755) {
    return add({.path = std::move(path), .type = '5', .mode = mode});
  }
  TarWriter& symlink(std::string path, std::string target) {
    return add({.path = std::move(path), .type = '2', .link = std::move(target), .mode = 0777});
  }
  [[nodiscard]] std::string finish() const { return bytes_ + std::string(1024, '\0'); }
  [[nodiscard]] const std::string& unfinished() const { return bytes_; }

 private:
  static std::string record(const std::string& key, const std::string& value) {
    std::size_t size = key.size() + value.size() + 3;
    while (std::to_string(size).size() + key.size() + value.size() + 3 != size) {
      size = std::to_string(size).size() + key.size() + value.size() + 3;
    }
    return std::to_string(size) + " " + key + "=" + value + "\n";
  }
  void write(const std::string& path, char type, const std::string& content, const std::string& link,
             const Entry& entry) {
    std::string header(512, '\0');
    const auto put = [&](std::size_t at, std::string_view text) { std::memcpy(&header[at], text.data(), text.size()); };
    put(0, path);
    put(100, fmt::format("{:07o}", entry.mode));
    put(108, fmt::format("{:07o}", entry.uid));
    put(116, fmt::format("{:07o}", entry.gid));
    put(124, fmt::format("{:011o}", content.size()));
    put(136, fmt::format("{:011o}", entry.mtime));
    put(148, "        ");
    header[156] = type;
    put(157, link);
    put(257, std::string_view("ustar\00000", 8));
    put(329, fmt::format("{:07o}", entry.major));
    put(337, fmt::format("{:07o}", entry.minor));
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    put(148, fmt::format("{:06o}", sum));
    header[154] = '\0';
    bytes_ += header + content + std::string((512 - content.size() % 512) % 512, '\0');
  }

  std::string bytes_;
};

inline std::string compress(const std::string& tool, const std::string& bytes) {
  const auto out = run_process({.argv = {tool, "-c"}, .stdin_text = bytes, .output_bytes_max = 64U << 20U});
  return out ? out->out : std::string();
}

struct BuiltLayer {
  std::string blob;
  std::string digest;
  std::string diff_id;
};
inline BuiltLayer make_layer(const std::string& tar) {
  BuiltLayer layer;
  layer.blob = compress("gzip", tar);
  layer.digest = sha256_of(layer.blob);
  layer.diff_id = sha256_of(tar);
  return layer;
}

// Writes an image for skopeo's "dir:" transport and returns the digest of its manifest. `config` is the "config"
// object.
inline std::string write_image(const std::string& directory, const std::vector<BuiltLayer>& layers, JsonObject config,
                               const std::string& architecture) {
  (void)make_directories(directory);
  JsonArray diff_ids, descriptors;
  for (const BuiltLayer& layer : layers) {
    diff_ids.emplace_back(layer.diff_id);
    descriptors.emplace_back(JsonObject{{"mediaType", "application/vnd.docker.image.rootfs.diff.tar.gzip"},
                                        {"size", layer.blob.size()},
                                        {"digest", layer.digest}});
    (void)write_file(directory + "/" + layer.digest.substr(7), layer.blob);
  }
  const std::string config_text =
      to_text(JsonObject{{"architecture", architecture},
                         {"os", "linux"},
                         {"created", "2024-01-02T03:04:05Z"},
                         {"config", std::move(config)},
                         {"rootfs", JsonObject{{"type", "layers"}, {"diff_ids", diff_ids}}}});
  (void)write_file(directory + "/" + sha256_of(config_text).substr(7), config_text);
  const std::string manifest =
      to_text(JsonObject{{"schemaVersion", 2},
                         {"mediaType", "application/vnd.docker.distribution.manifest.v2+json"},
                         {"config", JsonObject{{"mediaType", "application/vnd.docker.container.image.v1+json"},
                                               {"size", config_text.size()},
                                               {"digest", sha256_of(config_text)}}},
                         {"layers", descriptors}});
  (void)write_file(directory + "/manifest.json", manifest);
  (void)write_file(directory + "/version", "Directory Transport Version: 1.1\n");
  return sha256_of(manifest);
}

// A layer with a static busybox.
inline std::string busybox_tar() {
  TarWriter tar;
  tar.directory("bin").directory("etc").directory("tmp", 01777);
  tar.file("bin/busybox", read_file("/bin/busybox").value_or(""), 0755);
  for (const char* name : {"sh", "sleep", "cat", "ip", "wget", "nc", "id", "hostname", "ls", "test", "echo", "touch"}) {
    tar.symlink(std::string("bin/") + name, "busybox");
  }
  tar.file("etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n");
  tar.file("etc/group", "root:x:0:\nweb:x:34:\n");
  return tar.finish();
}

}  // namespace mesh::agent::test
