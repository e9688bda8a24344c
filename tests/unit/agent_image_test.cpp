#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/id.h"
#include "control/agent/image_layer.h"
#include "control/agent/image_manifest.h"
#include "control/agent/image_pull.h"
#include "control/agent/image_reference.h"
#include "control/agent/image_store.h"
#include "tests/unit/agent_image_builder.h"

namespace mesh::agent {
namespace {

using test::TarWriter;
using testing::HasSubstr;

constexpr const char* kDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

TEST(ImageReference, NormalisedAsDocker) {
  struct Row {
    std::string text, full, familiar;
  };
  for (const Row& row : {
           Row{"image-gallery", "docker.io/library/image-gallery:latest", "image-gallery:latest"},
           Row{"diamol/ch09-image-gallery", "docker.io/diamol/ch09-image-gallery:latest",
               "diamol/ch09-image-gallery:latest"},
           Row{"nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"},
           Row{"docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"},
           Row{"index.docker.io/library/nginx", "docker.io/library/nginx:latest", "nginx:latest"},
           Row{"localhost/a", "localhost/a:latest", "localhost/a:latest"},
           Row{"localhost:5000/a/b:x", "localhost:5000/a/b:x", "localhost:5000/a/b:x"},
           Row{"ghcr.io/a/b__c.d-e", "ghcr.io/a/b__c.d-e:latest", "ghcr.io/a/b__c.d-e:latest"},
           Row{std::string("nginx@") + kDigest, std::string("docker.io/library/nginx@") + kDigest,
               std::string("nginx@") + kDigest},
           Row{std::string("nginx:1@") + kDigest, std::string("docker.io/library/nginx:1@") + kDigest,
               std::string("nginx:1@") + kDigest},
       }) {
    const auto parsed = ImageReference::parse(row.text);
    ASSERT_TRUE(parsed) << row.text << ": " << parsed.error().message;
    EXPECT_EQ(parsed->to_string(), row.full) << row.text;
    EXPECT_EQ(parsed->familiar(), row.familiar) << row.text;
    EXPECT_EQ(ImageReference::parse(parsed->familiar()), parsed) << row.text;
  }
}

TEST(ImageReference, RefusesWhatDockerRefuses) {
  for (const char* text : {"", "Nginx", "a//b", "a/", "/a", "a:b:c", "a:", "a:-x", "a@sha256:12", "a@md5:0", "a b",
                           "a..b", "a___b", "_a", "a_", "docker.io/", "a/../b"}) {
    const auto parsed = ImageReference::parse(text);
    EXPECT_FALSE(parsed) << text;
    if (!parsed) EXPECT_THAT(parsed.error().message, HasSubstr("invalid reference format")) << text;
  }
}

TEST(ImageManifest, DockerAndOci) {
  for (const char* type : {"application/vnd.docker.image.rootfs.diff.tar.gzip",
                           "application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.oci.image.layer.v1.tar"}) {
    const auto manifest = decode_manifest(fmt::format(
        R"({{"schemaVersion":2,"config":{{"digest":"{}","size":3}},"layers":[{{"mediaType":"{}","digest":"{}","size":9}}]}})",
        kDigest, type, kDigest));
    ASSERT_TRUE(manifest) << manifest.error().message;
    const auto config = decode_image_config(
        fmt::format(
            R"({{"architecture":"amd64","os":"linux","created":"2024-01-02T03:04:05.5Z","config":{{"Env":["A=b"],
          "Cmd":["c"],"Entrypoint":["e"],"User":"u:g","WorkingDir":"/w","ExposedPorts":{{"80/tcp":{{}}}},"StopSignal":"SIGQUIT",
          "Volumes":{{"/v":{{}}}},"Labels":{{"l":"m"}},"Healthcheck":{{"Test":["CMD-SHELL","x"],"Interval":1000000000,"Retries":2}},
          "Shell":["/bin/bash","-c"]}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}})",
            kDigest),
        *manifest);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->config.env, std::vector<std::string>{"A=b"});
    EXPECT_EQ(config->config.cmd, std::vector<std::string>{"c"});
    EXPECT_EQ(config->config.entrypoint, std::vector<std::string>{"e"});
    EXPECT_EQ(config->config.user, "u:g");
    EXPECT_EQ(config->config.working_dir, "/w");
    EXPECT_TRUE(config->config.exposed_ports.contains("80/tcp"));
    EXPECT_EQ(config->config.stop_signal, "SIGQUIT");
    EXPECT_TRUE(config->config.volumes.contains("/v"));
    EXPECT_EQ(config->config.labels.at("l"), "m");
    ASSERT_TRUE(config->config.healthcheck);
    EXPECT_EQ(config->config.healthcheck->interval, std::chrono::seconds(1));
    EXPECT_EQ(config->config.healthcheck->retries, 2);
    EXPECT_EQ(config->raw_config.at("StopSignal").as_string(), "SIGQUIT");
  }
}

TEST(ImageManifest, BadOnesAreRefusedWithTheReason) {
  struct Row {
    std::string text, expected;
  };
  const std::string config = fmt::format(R"("config":{{"digest":"{}"}})", kDigest);
  for (const Row& row : {
           Row{"", "image manifest"},
           Row{"[]", "expected an object"},
           Row{"{\"schemaVersion\":1}", "schema version 1"},
           Row{"{\"schemaVersion\":2}", "config has no sha256 digest"},
           Row{"{\"schemaVersion\":2," + config + ",\"layers\":[{\"digest\":\"../../etc\"}]}",
               "a layer has no sha256 digest"},
           Row{"{\"schemaVersion\":2," + config + ",\"layers\":7}", "layers: expected a list"},
           Row{fmt::format(
                   "{{\"schemaVersion\":2,{},\"layers\":[{{\"digest\":\"{}\",\"mediaType\":\"x/encrypted\"}}]}}",
                   config, kDigest),
               "x/encrypted"},
           Row{"{\"schemaVersion\":2,\"manifests\":[]}", "an index"},
       }) {
    const auto manifest = decode_manifest(row.text);
    ASSERT_FALSE(manifest) << row.text;
    EXPECT_THAT(manifest.error().message, HasSubstr(row.expected)) << row.text;
  }
}

TEST(RegistryError, SaysWhoAndWhatToTry) {
  struct Row {
    const char* text;
    ErrorKind kind;
    const char* expected;
  };
  const auto reference = *ImageReference::parse("nope:1");
  for (
      const Row& row : {
          Row{R"(time="x" level=fatal msg="Error parsing image name \"docker://r/nope:1\": reading manifest 1: manifest unknown")",
              ErrorKind::kNotFound, "No such image: nope:1"},
          Row{R"(level=fatal msg="reading manifest 1: name unknown")", ErrorKind::kNotFound, "check name and tag"},
          Row{R"(level=fatal msg="writing blob: Digest did not match, expected x, got y")", ErrorKind::kInvalid,
              "pull again"},
          Row{R"(level=fatal msg="… reading manifest latest in docker.io/library/x: requested access to the resource is denied")",
              ErrorKind::kUnauthorized, "needs a login"},
          Row{R"(level=fatal msg="… unauthorized: authentication required")", ErrorKind::kUnauthorized, "log in"},
          Row{R"(level=fatal msg="pinging container registry r: Get \"http://r/v2/\": dial tcp 127.0.0.1:1: connect: connection refused")",
              ErrorKind::kUnavailable, "is the registry running"},
          Row{R"(level=fatal msg="pinging container registry r: dial tcp: lookup r on 1.1.1.1:53: no such host")",
              ErrorKind::kUnavailable, "does not resolve"},
          Row{R"(level=fatal msg="writing blob: write /x: no space left on device")", ErrorKind::kExhausted,
              "free disk space"},
          Row{"", ErrorKind::kInternal, "gave no reason"},
      }) {
    const Error error = registry_error(reference, "r:5000", row.text);
    EXPECT_EQ(error.kind, row.kind) << row.text;
    EXPECT_THAT(error.message, HasSubstr(row.expected)) << row.text;
    EXPECT_THAT(error.message, HasSubstr("r:5000")) << row.text;
  }
}

class LayerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "owners, devices and trusted attributes need root";
    base_ = "/tmp/meshd-layer-" + make_hex_id(4);
    target_ = base_ + "/target";
    ASSERT_TRUE(make_directories(target_));
    ASSERT_TRUE(write_file(base_ + "/outside", "untouched"));
  }
  void TearDown() override {
    if (base_.empty()) return;
    EXPECT_EQ(read_file(base_ + "/outside").value_or(""), "untouched");
    EXPECT_EQ(list_directory(base_)->size(), 3U) << "something was written beside the target";
    EXPECT_TRUE(remove_tree(base_));
  }
  Result<UnpackedLayer> unpack(const std::string& blob, LayerPacking packing = LayerPacking::kPlain,
                               const LayerLimits& limits = {}) {
    EXPECT_TRUE(write_file(base_ + "/blob", blob));
    return unpack_layer(base_ + "/blob", sha256_of(blob), packing, target_, limits);
  }
  [[nodiscard]] std::string attribute(const std::string& path, const char* name) const {
    char value[256];
    const ssize_t size = lgetxattr((target_ + "/" + path).c_str(), name, value, sizeof value);
    return size < 0 ? "<none>" : std::string(value, static_cast<std::size_t>(size));
  }
  [[nodiscard]] struct stat look(const std::string& path) const {
    struct stat found{};
    EXPECT_EQ(lstat((target_ + "/" + path).c_str(), &found), 0) << path;
    return found;
  }

  std::string base_, target_;
};

TEST_F(LayerTest, KeepsEverythingThatAnEntryHas) {
  TarWriter tar;
  tar.add({.path = "./", .type = '5', .mode = 0755});
  tar.add({.path = "dir/", .type = '5', .mode = 01777, .uid = 5, .gid = 6, .mtime = 1'000'000'000});
  tar.add({.path = "dir/file", .content = "hello", .mode = 04755, .uid = 7, .gid = 8, .xattrs = {{"user.a", "b"}}});
  tar.add({.path = "dir/link", .type = '2', .link = "../no/where", .uid = 9});
  tar.add({.path = "dir/hard", .type = '1', .link = "dir/file"});
  tar.add({.path = "null", .type = '3', .mode = 0666, .major = 1, .minor = 3});
  tar.add({.path = "pipe", .type = '6', .mode = 0600});
  tar.file("made/by/itself", "x");
  tar.file("sch\xc3\xb6n", "y");
  tar.file(std::string(150, 'n') + "/long", "z");
  const auto unpacked = unpack(tar.finish());
  ASSERT_TRUE(unpacked) << unpacked.error().message;
  EXPECT_EQ(unpacked->diff_id, sha256_of(tar.finish()));
  EXPECT_EQ(look("dir").st_mode & 07777U, 01777U);
  EXPECT_EQ(look("dir").st_uid, 5U);
  EXPECT_EQ(look("dir").st_mtime, 1'000'000'000);
  EXPECT_EQ(look("dir/file").st_mode & 07777U, 04755U);
  EXPECT_EQ(look("dir/file").st_gid, 8U);
  EXPECT_EQ(look("dir/file").st_mtime, 1'700'000'000);
  EXPECT_EQ(look("dir/file").st_nlink, 2U);
  EXPECT_EQ(look("dir/hard").st_ino, look("dir/file").st_ino);
  EXPECT_EQ(attribute("dir/file", "user.a"), "b");
  EXPECT_TRUE(S_ISLNK(look("dir/link").st_mode));
  EXPECT_EQ(look("dir/link").st_uid, 9U);
  EXPECT_EQ(look("null").st_rdev, makedev(1, 3));
  EXPECT_TRUE(S_ISFIFO(look("pipe").st_mode));
  EXPECT_EQ(look("made/by").st_mode & 07777U, 0755U);
  EXPECT_EQ(*read_file(target_ + "/sch\xc3\xb6n"), "y");
  EXPECT_EQ(*read_file(target_ + "/" + std::string(150, 'n') + "/long"), "z");
}

TEST_F(LayerTest, WhiteoutsBecomeOverlaysOwn) {
  TarWriter tar;
  tar.directory("gone").file("gone/.wh.file", "").directory("opaque").file("opaque/.wh..wh..opq", "");
  tar.file(".wh..wh.plnk", "")
      .directory("kept")
      .file(".wh.kept", "")
      .file(".wh.made-later", "")
      .directory("made-later");
  const auto unpacked = unpack(tar.finish());
  ASSERT_TRUE(unpacked) << unpacked.error().message;
  EXPECT_TRUE(S_ISCHR(look("gone/file").st_mode));
  EXPECT_EQ(look("gone/file").st_rdev, makedev(0, 0));
  EXPECT_EQ(attribute("opaque", "trusted.overlay.opaque"), "y");
  EXPECT_NE(access((target_ + "/opaque/.wh..wh..opq").c_str(), F_OK), 0);
  EXPECT_NE(access((target_ + "/.wh..wh.plnk").c_str(), F_OK), 0);
  // A directory that the same layer hides and makes: it hides what lies below.
  EXPECT_EQ(attribute("kept", "trusted.overlay.opaque"), "y");
  EXPECT_EQ(attribute("made-later", "trusted.overlay.opaque"), "y");
}

TEST_F(LayerTest, LaterEntriesReplaceEarlierOnes) {
  TarWriter tar;
  tar.file("a", "1").file("a", "2").directory("b").file("b/c", "x").file("b", "now a file");
  tar.directory("d").file("d/e", "kept").directory("d", 0700);
  ASSERT_TRUE(unpack(tar.finish()));
  EXPECT_EQ(*read_file(target_ + "/a"), "2");
  EXPECT_EQ(*read_file(target_ + "/b"), "now a file");
  EXPECT_EQ(*read_file(target_ + "/d/e"), "kept");
  EXPECT_EQ(look("d").st_mode & 07777U, 0700U);
}

TEST_F(LayerTest, LinksInsideTheRootAreFollowed) {
  TarWriter tar;
  tar.directory("usr").directory("usr/lib").symlink("lib", "usr/lib").file("lib/x.so", "so");
  ASSERT_TRUE(unpack(tar.finish()));
  EXPECT_EQ(*read_file(target_ + "/usr/lib/x.so"), "so");
}

TEST_F(LayerTest, PathsThatLeaveTheRootAreRefused) {
  struct Row {
    const char* what;
    TarWriter tar;
    const char* expected;
  };
  std::vector<Row> rows;
  rows.push_back({"dots", TarWriter().file("../outside", "evil"), "\"..\""});
  rows.push_back({"dots inside", TarWriter().directory("a").file("a/../../outside", "evil"), "\"..\""});
  rows.push_back({"absolute", TarWriter().file("/etc/evil", "evil"), "absolute"});
  rows.push_back({"link up", TarWriter().symlink("a", "..").file("a/outside", "evil"), "symbolic link"});
  rows.push_back({"absolute link", TarWriter().symlink("a", "/tmp").file("a/evil", "evil"), "symbolic link"});
  rows.push_back(
      {"two links", TarWriter().symlink("a", "b/..").symlink("b", "..").file("a/outside", "evil"), "refused"});
  rows.push_back({"hard link out", TarWriter().add({.path = "a", .type = '1', .link = "../outside"}), "\"..\""});
  rows.push_back({"hard link through a link",
                  TarWriter().symlink("a", "..").add({.path = "b", .type = '1', .link = "a/outside"}),
                  "symbolic link"});
  rows.push_back({"hard link to nothing", TarWriter().add({.path = "a", .type = '1', .link = "none"}), "none"});
  rows.push_back({"whiteout of the parent", TarWriter().directory("a").file("a/.wh...", ""), "whiteout"});
  rows.push_back({"hiding device", TarWriter().add({.path = "a", .type = '3', .major = 0, .minor = 0}), "0:0"});
  rows.push_back({"root is a file", TarWriter().add({.path = "./", .type = '2', .link = "/"}), "root"});
  rows.push_back({"file as a parent", TarWriter().file("a", "x").file("a/b", "evil"), "parent is no directory"});
  for (const Row& row : rows) {
    ASSERT_TRUE(remove_tree(target_));
    ASSERT_TRUE(make_directories(target_));
    const auto unpacked = unpack(row.tar.finish());
    ASSERT_FALSE(unpacked) << row.what;
    EXPECT_THAT(unpacked.error().message, HasSubstr(row.expected)) << row.what;
  }
  EXPECT_NE(access("/tmp/evil", F_OK), 0);
}

TEST_F(LayerTest, TrustedAttributesOfALayerAreIgnored) {
  TarWriter tar;
  tar.add({.path = "d", .type = '5', .mode = 0755, .xattrs = {{"trusted.overlay.redirect", "/x"}, {"user.k", "v"}}});
  ASSERT_TRUE(unpack(tar.finish()));
  EXPECT_EQ(attribute("d", "trusted.overlay.redirect"), "<none>");
  EXPECT_EQ(attribute("d", "user.k"), "v");
}

TEST_F(LayerTest, PackingsGiveTheSameDiffId) {
  const std::string tar = TarWriter().file("a", std::string(300'000, 'a')).finish();
  const std::string padded = tar + std::string(9000, '\0');
  for (const auto& [packing, tool] : {std::pair{LayerPacking::kGzip, "gzip"}, std::pair{LayerPacking::kZstd, "zstd"}}) {
    ASSERT_TRUE(remove_tree(target_));
    ASSERT_TRUE(make_directories(target_));
    const auto unpacked = unpack(test::compress(tool, padded), packing);
    ASSERT_TRUE(unpacked) << tool << ": " << unpacked.error().message;
    EXPECT_EQ(unpacked->diff_id, sha256_of(padded)) << tool;
    EXPECT_EQ(unpacked->bytes, 300'000U);
  }
}

TEST_F(LayerTest, CorruptLayersAreNamedAsSuch) {
  const std::string tar = TarWriter().file("a", std::string(100'000, 'a')).file("b", "b").finish();
  const std::string gzip = test::compress("gzip", tar);
  struct Row {
    const char* what;
    std::string blob;
    LayerPacking packing;
  };
  for (const Row& row : {Row{"cut gzip", gzip.substr(0, gzip.size() / 2), LayerPacking::kGzip},
                         Row{"not gzip", "garbage that is no archive", LayerPacking::kGzip},
                         Row{"not tar", std::string(2000, 'x'), LayerPacking::kPlain},
                         Row{"cut tar", tar.substr(0, 50'000), LayerPacking::kPlain},
                         Row{"plain where gzip is promised", tar, LayerPacking::kGzip}}) {
    ASSERT_TRUE(remove_tree(target_));
    ASSERT_TRUE(make_directories(target_));
    const auto unpacked = unpack(row.blob, row.packing);
    ASSERT_FALSE(unpacked) << row.what;
    EXPECT_EQ(unpacked.error().kind, ErrorKind::kInvalid) << row.what;
    EXPECT_THAT(unpacked.error().message, HasSubstr("corrupt")) << row.what;
  }
}

TEST_F(LayerTest, OneFlippedBitIsFound) {
  const std::string gzip = test::compress("gzip", TarWriter().file("a", "aaaa").finish());
  for (std::size_t i = 12; i < gzip.size(); i += 7) {
    std::string flipped = gzip;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x10);
    ASSERT_TRUE(remove_tree(target_));
    ASSERT_TRUE(make_directories(target_));
    ASSERT_TRUE(write_file(base_ + "/blob", flipped));
    const auto unpacked = unpack_layer(base_ + "/blob", sha256_of(gzip), LayerPacking::kGzip, target_);
    ASSERT_FALSE(unpacked) << "byte " << i;
    EXPECT_EQ(unpacked.error().kind, ErrorKind::kInvalid) << unpacked.error().message;
  }
}

TEST_F(LayerTest, WrongDigestIsRefused) {
  ASSERT_TRUE(write_file(base_ + "/blob", TarWriter().file("a", "b").finish()));
  const auto unpacked = unpack_layer(base_ + "/blob", kDigest, LayerPacking::kPlain, target_);
  ASSERT_FALSE(unpacked);
  EXPECT_THAT(unpacked.error().message, HasSubstr(kDigest));
}

TEST_F(LayerTest, LimitsEndABomb) {
  const std::string tar = TarWriter().file("a", std::string(5000, 'a')).file("b", "b").finish();
  const auto big = unpack(tar, LayerPacking::kPlain, {.bytes_max = 4000});
  ASSERT_FALSE(big);
  EXPECT_EQ(big.error().kind, ErrorKind::kExhausted);
  ASSERT_TRUE(remove_tree(target_));
  ASSERT_TRUE(make_directories(target_));
  const auto many = unpack(tar, LayerPacking::kPlain, {.entries_max = 1});
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().kind, ErrorKind::kExhausted);
}

TEST_F(LayerTest, MissingEndMarkerIsNoHarm) {
  // Some tools write no padding; the digests say that nothing is missing.
  const auto unpacked = unpack(TarWriter().file("a", "b").unfinished());
  ASSERT_TRUE(unpacked) << unpacked.error().message;
  EXPECT_EQ(*read_file(target_ + "/a"), "b");
}

}  // namespace
}  // namespace mesh::agent
