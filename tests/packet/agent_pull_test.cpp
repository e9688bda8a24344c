// Pulls from a real registry on the loopback of a network namespace of its own, below an empty /var/lib of its own:
// digests, shared layers, corrupt and missing blobs, unknown images, a registry that is not there.
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/id.h"
#include "base/process.h"
#include "control/agent/image_pull.h"
#include "control/agent/image_store.h"
#include "tests/packet/agent_registry.h"
#include "tests/unit/agent_image_builder.h"

namespace mesh::agent {
namespace {

using test::kRegistry;
using test::TarWriter;
using testing::HasSubstr;

class PullTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::Registry::can_run()) GTEST_SKIP() << test::Registry::kNeeds;
    base_ = "/tmp/meshd-pull-" + make_hex_id(4);
    ASSERT_TRUE(make_directories(base_));
    registry_.start(base_);
    open_store();
  }
  void TearDown() override {
    registry_.stop();
    if (!base_.empty()) EXPECT_TRUE(remove_tree(base_));
  }
  void open_store() {
    auto store = ImageStore::open(base_ + "/images");
    ASSERT_TRUE(store) << store.error().message;
    store_.emplace(std::move(*store));
  }
  // Pushes and returns the digest of the manifest.
  std::string push(const std::string& name, const std::vector<test::BuiltLayer>& layers, JsonObject config = {},
                   const std::string& architecture = host_architecture()) {
    const std::string directory = base_ + "/push-" + make_hex_id(4);
    const std::string digest = test::write_image(directory, layers, std::move(config), architecture);
    test::Registry::push(directory, name);
    return digest;
  }
  Result<PulledImage> pull(const std::string& name) {
    const ImageReference reference = TRY(ImageReference::parse(name));
    RegistryAccess access;
    access.mirror = kRegistry;
    reports_.clear();
    PulledImage pulled = TRY(pull_remote(reference, access, store_->paths(),
                                         [this](const api::PullProgress& line) { reports_.push_back(line.status); }));
    TRY(store_->add(reference, pulled));
    return pulled;
  }
  // A registry that was started a moment ago does not listen yet.
  Result<PulledImage> wait_until_answered(const ImageReference& reference, const RegistryAccess& access) {
    Result<PulledImage> pulled = fail(ErrorKind::kUnavailable, "not asked");
    EXPECT_TRUE(test::wait_until([&] {
      pulled = pull_remote(reference, access, store_->paths(), [](const api::PullProgress&) {});
      return pulled || pulled.error().kind != ErrorKind::kUnavailable;
    }));
    return pulled;
  }
  [[nodiscard]] std::size_t layers_here() const {
    std::size_t count = 0;
    for (const std::string& name : list_directory(store_->paths().layers()).value_or(std::vector<std::string>{})) {
      if (!name.ends_with(".size")) ++count;
    }
    return count;
  }
  // Where the registry keeps a blob.
  [[nodiscard]] std::string registry_blob(const std::string& digest) const {
    const std::string hex = digest.substr(7);
    return fmt::format("{}/registry/docker/registry/v2/blobs/sha256/{}/{}/data", base_, hex.substr(0, 2), hex);
  }
  void expect_nothing_left() {
    EXPECT_THAT(*list_directory(store_->paths().tmp()), testing::IsEmpty());
    EXPECT_EQ(layers_here(), 0U);
  }

  std::string base_;
  test::Registry registry_;
  std::optional<ImageStore> store_;
  std::vector<std::string> reports_;
};

test::BuiltLayer layer_with(const std::string& name) { return test::make_layer(TarWriter().file(name, name).finish()); }

TEST_F(PullTest, KeepsDigestAndConfig) {
  const std::string digest = push("app:1", {layer_with("a")},
                                  JsonObject{{"Cmd", JsonArray{"/a"}},
                                             {"Healthcheck", JsonObject{{"Test", JsonArray{"CMD", "/probe"}}}},
                                             {"Shell", JsonArray{"/bin/sh", "-c"}}});
  const auto pulled = pull("app:1");
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(pulled->digest, digest);
  EXPECT_THAT(reports_, testing::Contains("Pull complete"));
  const auto image = store_->find("app:1");
  ASSERT_TRUE(image);
  EXPECT_EQ((*image)->config.config.healthcheck->test.at(1), "/probe");
  EXPECT_EQ((*image)->config.config.shell.at(0), "/bin/sh");
  EXPECT_EQ((*image)->digests, std::vector<std::string>{"docker.io/library/app@" + digest});
  EXPECT_TRUE(store_->find("app@" + digest));
  EXPECT_EQ(*read_file(store_->paths().layer((*image)->config.rootfs.diff_ids[0]) + "/a"), "a");
  // Found again after a restart, by every name.
  open_store();
  EXPECT_TRUE(store_->find("app:1"));
  EXPECT_TRUE(store_->find((*store_->find("app:1"))->id.substr(7, 12)));
  EXPECT_FALSE(store_->find("app:2"));
  EXPECT_THAT(*list_directory(store_->paths().tmp()), testing::IsEmpty());
}

TEST_F(PullTest, LayersAreSharedAndCollected) {
  push("one:latest", {layer_with("base"), layer_with("one")});
  push("two:latest", {layer_with("base"), layer_with("two")});
  ASSERT_TRUE(pull("one"));
  ASSERT_TRUE(pull("two"));
  EXPECT_EQ(layers_here(), 3U);
  ASSERT_TRUE(store_->remove("one"));
  EXPECT_EQ(layers_here(), 2U);
  EXPECT_TRUE(store_->find("two"));
  ASSERT_TRUE(store_->remove("two"));
  EXPECT_EQ(layers_here(), 0U);
  EXPECT_THAT(*list_directory(store_->paths().blobs() + "/sha256"), testing::IsEmpty());
}

TEST_F(PullTest, AMovedTagMoves) {
  push("app:latest", {layer_with("old")});
  ASSERT_TRUE(pull("app"));
  const std::string old_id = (*store_->find("app"))->id;
  push("app:latest", {layer_with("new")});
  ASSERT_TRUE(pull("app"));
  EXPECT_NE((*store_->find("app"))->id, old_id);
  EXPECT_TRUE((*store_->find(old_id))->tags.empty());
}

TEST_F(PullTest, CorruptBlobsAreRefusedAndFetchedAgain) {
  const test::BuiltLayer layer = layer_with("a");
  push("app:latest", {layer});
  const std::string good = *read_file(registry_blob(layer.digest));
  std::string bad = good;
  bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] ^ 1);
  ASSERT_TRUE(write_file(registry_blob(layer.digest), bad));
  const auto pulled = pull("app");
  ASSERT_FALSE(pulled);
  EXPECT_THAT(pulled.error().message, HasSubstr("app:latest"));
  EXPECT_EQ(pulled.error().kind, ErrorKind::kInvalid) << pulled.error().message;
  EXPECT_THAT(pulled.error().message, HasSubstr("push the image again"));
  expect_nothing_left();
  ASSERT_TRUE(write_file(registry_blob(layer.digest), good));
  const auto again = pull("app");
  EXPECT_TRUE(again) << again.error().message;
}

TEST_F(PullTest, LayersThatUnpackToSomethingElseAreCorrupt) {
  struct Row {
    const char* what;
    test::BuiltLayer layer;
    const char* expected;
  };
  test::BuiltLayer other = layer_with("a");
  other.diff_id = sha256_of("something else");
  test::BuiltLayer garbage;
  garbage.blob = "this is no archive";
  garbage.digest = sha256_of(garbage.blob);
  garbage.diff_id = sha256_of("x");
  test::BuiltLayer evil = test::make_layer(TarWriter().file("../evil", "x").finish());
  int number = 0;
  for (const Row& row : {Row{"another diff id", other, "corrupt"}, Row{"no archive", garbage, "corrupt"},
                         Row{"an escape", evil, "refused"}}) {
    const std::string name = fmt::format("bad{}", ++number);
    push(name + ":latest", {row.layer});
    const auto pulled = pull(name);
    ASSERT_FALSE(pulled) << row.what;
    EXPECT_THAT(pulled.error().message, HasSubstr(row.expected)) << row.what;
    EXPECT_THAT(pulled.error().message, HasSubstr(row.layer.digest)) << row.what;
    expect_nothing_left();
  }
}

TEST_F(PullTest, OtherPlatformsAreRefusedByName) {
  push("app:latest", {layer_with("a")}, {}, "s390x");
  const auto pulled = pull("app");
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().kind, ErrorKind::kUnsupported);
  EXPECT_THAT(pulled.error().message, HasSubstr("s390x"));
}

// What a pull leaves outside of our directories, meshd --cleanup would never find.
TEST_F(PullTest, NotesOfSkopeoGoWithThePull) {
  push("app:latest", {layer_with("a")});
  ASSERT_TRUE(remove_tree("/var/lib/containers"));  // the push's
  const auto pulled = pull("app");
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_THAT(*list_directory("/var/lib"), testing::IsEmpty());
  EXPECT_THAT(*list_directory(store_->paths().tmp()), testing::IsEmpty());
}

TEST_F(PullTest, UnknownImageAndUnreachableRegistry) {
  push("app:latest", {layer_with("a")});
  const auto unknown = pull("nope:7");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(unknown.error().message,
              testing::AllOf(HasSubstr("No such image: nope:7"), HasSubstr("check name and tag")));
  registry_.stop();
  const auto unreachable = pull("app");
  ASSERT_FALSE(unreachable);
  EXPECT_EQ(unreachable.error().kind, ErrorKind::kUnavailable);
  EXPECT_THAT(unreachable.error().message, testing::AllOf(HasSubstr(kRegistry), HasSubstr("connection refused")));
}

// data_dir/auth.json is written by `skopeo login` or `docker login` (containers-auth.json(5)).
TEST_F(PullTest, TheHostsLoginIsUsed) {
  push("app:latest", {layer_with("a")});
  registry_.stop();
  // user "mesh", password "secret" (bcrypt)
  ASSERT_TRUE(write_file(base_ + "/htpasswd", "mesh:$2b$04$dy0T5RB2WLbI6cYPK4tfEeESr29qlq3mFYfBqxsc.vHr6Yr0Wrjwa\n"));
  registry_.start(base_, fmt::format("auth: {{htpasswd: {{realm: test, path: {}/htpasswd}}}}\n", base_));
  const ImageReference reference = *ImageReference::parse(std::string(kRegistry) + "/library/app");
  RegistryAccess access;
  access.auth_file = base_ + "/auth.json";
  const auto refused = wait_until_answered(reference, access);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kUnauthorized) << refused.error().message;
  EXPECT_THAT(refused.error().message, HasSubstr("log in"));
  ASSERT_TRUE(write_file(access.auth_file,
                         fmt::format(R"({{"auths": {{"{}": {{"auth": "bWVzaDpzZWNyZXQ="}}}}}})", kRegistry), 0600));
  const auto pulled = pull_remote(reference, access, store_->paths(), [](const api::PullProgress&) {});
  EXPECT_TRUE(pulled) << pulled.error().message;
}

TEST_F(PullTest, ResolveSaysWhatIsThereAndFetchesNothing) {
  const std::string digest = push("app:latest", {layer_with("a")});
  RegistryAccess access;
  access.mirror = kRegistry;
  const auto found = resolve_remote(*ImageReference::parse("app"), access, store_->paths());
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->digest, digest);
  EXPECT_EQ(found->media_type, "application/vnd.docker.distribution.manifest.v2+json");
  ASSERT_EQ(found->platforms.size(), 1U);
  EXPECT_EQ(found->platforms[0].architecture, host_architecture());
  access.mirror = std::string("http://") + kRegistry;
  EXPECT_TRUE(resolve_remote(*ImageReference::parse("app"), access, store_->paths()));
  access.mirror = std::string("https://") + kRegistry;
  EXPECT_FALSE(resolve_remote(*ImageReference::parse("app"), access, store_->paths())) << "it has no certificate";
  expect_nothing_left();
}

}  // namespace
}  // namespace mesh::agent

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  // A registry port of our own, and no way to any other registry.
  if (geteuid() == 0 &&
      (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
       mount("tmpfs", "/var/lib", "tmpfs", 0, nullptr) != 0)) {
    perror("own namespaces");
    return 1;
  }
  if (geteuid() == 0) (void)mesh::run_process({.argv = {"ip", "link", "set", "lo", "up"}});
  return RUN_ALL_TESTS();
}
