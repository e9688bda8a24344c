#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/file.h"
#include "control/cluster/certificate.h"
#include "tests/unit/cluster_fixture.h"

namespace mesh::cluster {
namespace {

TEST(Certificate, NamesTheNodeItsRoleAndItsCluster) {
  const TestCluster cluster;
  for (const Role role : {Role::kWorker, Role::kManager}) {
    const std::string node = make_id();
    const Time now = wall_now();
    const NodeIdentity identity = cluster.identity(role, now, kNodeLifetime, node);
    EXPECT_EQ(identity.info.subject, (Subject{node, role, cluster.id}));
    EXPECT_FALSE(identity.info.serial.empty());
    // ASN.1 times have seconds.
    EXPECT_LE(std::chrono::abs(identity.info.not_before - (now - kBackdate)), std::chrono::seconds(1));
    EXPECT_LE(std::chrono::abs(identity.info.not_after - (now + std::chrono::hours(90 * 24))), std::chrono::seconds(1));
  }
}

TEST(Certificate, RootLivesTwentyYears) {
  const TestCluster cluster;
  // The root is no node's certificate.
  EXPECT_FALSE(read_certificate(cluster.authority.certificate_pem()));
  const IssuerInfo issuer = value_of(read_issuer(cluster.authority.certificate_pem()));
  EXPECT_FALSE(issuer.subject.empty());
  EXPECT_EQ(issuer.public_key.size(), 91U);  // SubjectPublicKeyInfo of P-256
  const Time in_19_years = wall_now() + std::chrono::hours(24 * 365 * 19);
  EXPECT_TRUE(
      cluster.authority.issue(value_of(make_key_request()).request_pem, {make_id(), Role::kWorker, "c"}, in_19_years));
}

TEST(Certificate, DigestIsTheRootsAndDiffersBetweenClusters) {
  const TestCluster a;
  const TestCluster b;
  EXPECT_EQ(value_of(certificate_digest(a.authority.certificate_pem())), a.authority.digest());
  EXPECT_NE(a.authority.digest(), b.authority.digest());
}

TEST(Certificate, RenewalComesBetweenHalfAndFourFifthsOfItsLife) {
  CertificateInfo info;
  info.not_before = Time(std::chrono::seconds(1000));
  info.not_after = Time(std::chrono::seconds(2000));
  EXPECT_EQ(renewal_time(info, 0), Time(std::chrono::seconds(1500)));
  EXPECT_EQ(renewal_time(info, 1), Time(std::chrono::seconds(1800)));
}

TEST(Certificate, WhatIsNoRequestIsRefused) {
  const TestCluster cluster;
  const std::string good = value_of(make_key_request()).request_pem;
  std::string broken = good;
  broken[broken.size() / 2] = broken[broken.size() / 2] == 'A' ? 'B' : 'A';
  for (const std::string& text : {std::string(), std::string("garbage"), good.substr(0, good.size() / 2), broken,
                                  cluster.authority.certificate_pem(), std::string(20'000, 'x')}) {
    const Result<std::string> issued = cluster.authority.issue(text, {make_id(), Role::kWorker, "c"}, wall_now());
    ASSERT_FALSE(issued);
    EXPECT_EQ(issued.error().kind, ErrorKind::kInvalid) << issued.error().message;
  }
}

TEST(Certificate, AuthorityLoadsAndRefusesAForeignKey) {
  const TestCluster a;
  const TestCluster b;
  const auto loaded = CertificateAuthority::load(a.authority.certificate_pem(), a.authority.key_pem());
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->digest(), a.authority.digest());
  EXPECT_FALSE(CertificateAuthority::load(a.authority.certificate_pem(), b.authority.key_pem()));
  EXPECT_FALSE(CertificateAuthority::load("x", a.authority.key_pem()));
  EXPECT_FALSE(CertificateAuthority::load(a.authority.certificate_pem(), ""));
}

TEST(Identity, PartsOfDifferentClustersDoNotMix) {
  const TestCluster a;
  const TestCluster b;
  const NodeIdentity of_a = a.identity(Role::kWorker);
  const NodeIdentity of_b = b.identity(Role::kWorker);
  EXPECT_FALSE(NodeIdentity::make(of_a.key_pem, of_a.certificate_pem, of_b.ca_pem));
  EXPECT_FALSE(NodeIdentity::make(of_b.key_pem, of_a.certificate_pem, of_a.ca_pem));
}

class IdentityFiles : public testing::Test {
 protected:
  IdentityFiles() {
    char name[] = "/tmp/mesh-identity-XXXXXX";
    directory_ = std::string(::mkdtemp(name)) + "/cluster";
  }
  ~IdentityFiles() override { (void)remove_tree(directory_.substr(0, directory_.rfind('/'))); }
  std::string directory_;
};

TEST_F(IdentityFiles, AreReadBackAndTheKeyIsPrivate) {
  const TestCluster cluster;
  EXPECT_EQ(NodeIdentity::load(directory_).error().kind, ErrorKind::kNotFound);
  const NodeIdentity identity = cluster.identity(Role::kWorker);
  ASSERT_TRUE(identity.save(directory_));
  const NodeIdentity loaded = value_of(NodeIdentity::load(directory_));
  EXPECT_EQ(loaded.info.subject, identity.info.subject);
  struct stat status{};
  ASSERT_EQ(::stat((directory_ + "/node.pem").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  ASSERT_EQ(::stat(directory_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
  ASSERT_TRUE(remove_identity(directory_));
  ASSERT_TRUE(remove_identity(directory_));
  EXPECT_EQ(NodeIdentity::load(directory_).error().kind, ErrorKind::kNotFound);
}

TEST_F(IdentityFiles, DamagedOnesAreNamed) {
  const TestCluster cluster;
  ASSERT_TRUE(cluster.identity(Role::kWorker).save(directory_));
  for (const std::string& text : {std::string("garbage"), std::string()}) {
    ASSERT_TRUE(write_file(directory_ + "/node.pem", text, 0600));
    const Result<NodeIdentity> loaded = NodeIdentity::load(directory_);
    ASSERT_FALSE(loaded);
    EXPECT_NE(loaded.error().message.find(directory_), std::string::npos) << loaded.error().message;
  }
}

}  // namespace
}  // namespace mesh::cluster
