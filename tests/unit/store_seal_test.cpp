#include <filesystem>
#include <fstream>
#include <stdlib.h>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "control/store/seal.h"

namespace mesh::store {
namespace {

Seal::Key key_of(std::uint8_t first) {
  Seal::Key key{};
  key[0] = first;
  return key;
}

TEST(Seal, OpensWhatItSealed) {
  const Seal seal(key_of(1));
  for (const std::string& plain :
       {std::string(), std::string("secret"), std::string(100'000, 'x'), std::string(3, '\0')}) {
    const auto sealed = seal.seal(plain, "token");
    ASSERT_TRUE(sealed);
    EXPECT_EQ(seal.unseal(*sealed, "token").value_or("?"), plain);
    EXPECT_EQ(sealed->size(), plain.size() + 29);
  }
}

TEST(Seal, NeverSealsTheSameWayTwice) {
  const Seal seal(key_of(1));
  EXPECT_NE(seal.seal("secret", "token").value(), seal.seal("secret", "token").value());
}

TEST(Seal, RefusesOtherKeysPurposesAndBytes) {
  const Seal seal(key_of(1));
  const Bytes sealed = seal.seal("secret", "token").value();
  EXPECT_EQ(Seal(key_of(2)).unseal(sealed, "token").error().kind, ErrorKind::kForbidden);
  EXPECT_EQ(seal.unseal(sealed, "ca-key").error().kind, ErrorKind::kForbidden);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    Bytes changed = sealed;
    changed[i] ^= 1U;
    EXPECT_FALSE(seal.unseal(changed, "token")) << i;
    EXPECT_FALSE(seal.unseal(Bytes(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(i)), "token")) << i;
  }
}

TEST(Seal, MakesItsKeyFileOnce) {
  std::string directory = testing::TempDir() + "/sealXXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string path = directory + "/seal.key";
  const auto first = Seal::open(path);
  ASSERT_TRUE(first) << first.error().message;
  struct stat info{};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  const Bytes sealed = first->seal("secret", "token").value();
  EXPECT_EQ(Seal::open(path)->unseal(sealed, "token").value_or("?"), "secret");
  std::ofstream(path) << "short";
  EXPECT_FALSE(Seal::open(path));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace mesh::store
