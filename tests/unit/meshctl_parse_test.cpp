#include <fmt/format.h>
#include <gtest/gtest.h>

#include "control/meshctl/parse.h"
#include "control/meshctl/pull_progress.h"
#include "control/meshctl/wording.h"

namespace mesh::meshctl {
namespace {

// "8010:80/tcp/ingress", comma-separated; "error" for a refusal.
std::string shown(const Result<WantedPorts>& wanted) {
  if (!wanted) return "error";
  std::string out;
  for (const auto& port : wanted->ports) {
    out += fmt::format("{}{}:{}/{}/{}", out.empty() ? "" : ",", port.published_port, port.target_port,
                       name_of(port.protocol), name_of(port.publish_mode));
  }
  return out;
}

TEST(ParsePublish, Table) {
  const std::pair<const char*, const char*> table[] = {
      {"8010:80", "8010:80/tcp/ingress"},
      {"8010:80/udp", "8010:80/udp/ingress"},
      {"8010:80/TCP", "8010:80/tcp/ingress"},
      {"80", "0:80/tcp/ingress"},
      {"8000-8002:80-82", "8000:80/tcp/ingress,8001:81/tcp/ingress,8002:82/tcp/ingress"},
      {"published=8010,target=80", "8010:80/tcp/ingress"},
      {"target=80,published=53,protocol=udp,mode=host", "53:80/udp/host"},
      {"target=80", "0:80/tcp/ingress"},
      {"65535:65535", "65535:65535/tcp/ingress"},
      {"", "error"},
      {"0:80", "error"},
      {"8010:0", "error"},
      {"65536:80", "error"},
      {"8010:", "error"},
      {":80", "error"},
      {"a:80", "error"},
      {"-1:80", "error"},
      {"8010:80/icmp", "error"},
      {"8010:80/", "error"},
      {"8000-8002:80-81", "error"},
      {"8002-8000:80-82", "error"},
      {"published=8010", "error"},
      {"target=0", "error"},
      {"target=80,colour=red", "error"},
      {"target=80,mode=bridge", "error"},
  };
  for (const auto& [text, expected] : table) EXPECT_EQ(shown(parse_publish(text)), expected) << text;
}

TEST(ParsePublish, OnAnAddress) {
  const std::pair<const char*, const char*> table[] = {{"10.0.0.5:8010:80", "10.0.0.5"},
                                                       {"10.0.0.5:8010-8011:80-81/udp", "10.0.0.5"},
                                                       {"0.0.0.0:8010:80", "0.0.0.0"},
                                                       {"[2001:db8::5]:8010:80", "2001:db8::5"},
                                                       {"[::]:8010:80", "::"}};
  for (const auto& [text, address] : table) {
    const auto wanted = parse_publish(text);
    ASSERT_TRUE(wanted) << wanted.error().message;
    EXPECT_EQ(wanted->address, *IpAddress::parse(address)) << text;
    EXPECT_EQ(wanted->ports.at(0).published_port, 8010);
    EXPECT_EQ(wanted->ports.at(0).target_port, 80);
  }
  EXPECT_FALSE(parse_publish("8010:80")->address);
  EXPECT_EQ(parse_publish("8010:80")->interface, "");
  for (const char* name : {"eth1", "bond0.5", "enp3s0f1"}) {
    const auto wanted = parse_publish(std::string(name) + ":8010:80/udp");
    ASSERT_TRUE(wanted) << wanted.error().message;
    EXPECT_EQ(wanted->interface, name);
    EXPECT_FALSE(wanted->address);
    EXPECT_EQ(wanted->ports.at(0).published_port, 8010);
  }
  const std::pair<const char*, const char*> wrong[] = {{"10.0.0:8010:80", "ADDRESS:PUBLISHED:TARGET"},
                                                       {"a-host-with-a-name:8010:80", "INTERFACE:PUBLISHED:TARGET"},
                                                       {"eth1::80", "a published port is needed"},
                                                       {"2001:db8::5:8010:80", "[2001:db8::5]:8010:80"},
                                                       {"[10.0.0.5]:8010:80", "ADDRESS:PUBLISHED:TARGET"},
                                                       {"10.0.0.5::80", "a published port is needed"},
                                                       {":8010:80", "ADDRESS:PUBLISHED:TARGET"}};
  for (const auto& [text, says] : wrong) {
    const auto refused = parse_publish(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_NE(refused.error().message.find(says), std::string::npos) << refused.error().message;
  }
}

TEST(ParsePublished, OnePortWithProtocol) {
  EXPECT_EQ(parse_published("8010")->published_port, 8010);
  EXPECT_EQ(parse_published("53/udp")->protocol, model::PortProtocol::kUdp);
  for (const char* wrong : {"", "0", "x", "8010:80", "1-2", "70000"}) EXPECT_FALSE(parse_published(wrong)) << wrong;
}

TEST(ParseCpus, Table) {
  EXPECT_EQ(*parse_cpus("0.5"), 500'000'000);
  EXPECT_EQ(*parse_cpus("2"), 2'000'000'000);
  EXPECT_EQ(*parse_cpus(".001"), 1'000'000);
  for (const char* wrong : {"", "x", "-1", "1e3", "0x10", "nan", "1.2.3", "1 "})
    EXPECT_FALSE(parse_cpus(wrong)) << wrong;
}

TEST(ParseBytes, Table) {
  const std::pair<const char*, std::int64_t> table[] = {
      {"1024", 1024},  {"64m", 64 << 20}, {"64M", 64 << 20}, {"64MB", 64 << 20}, {"64MiB", 64 << 20},
      {"1g", 1 << 30}, {"1.5k", 1536},    {"10b", 10},       {"2t", 2LL << 40},  {"64 m", 64 << 20},
  };
  for (const auto& [text, expected] : table) EXPECT_EQ(parse_bytes(text).value_or(-1), expected) << text;
  for (const char* wrong : {"", "m", "64x", "-1m", "64mm", "1.2.3k", "10bb", "99999999t"}) {
    EXPECT_FALSE(parse_bytes(wrong)) << wrong;
  }
}

TEST(ParseNetwork, ShortAndLong) {
  EXPECT_EQ(parse_network("front")->target, "front");
  const auto network = parse_network("name=front,alias=a,alias=b");
  EXPECT_EQ(network->target, "front");
  EXPECT_EQ(network->aliases, (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(parse_network("alias=a"));
  EXPECT_FALSE(parse_network("name=a,mtu=1"));
}

TEST(ParseMount, Table) {
  const auto mount = parse_mount("type=bind,src=/a,dst=/b,ro");
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->type, "bind");
  EXPECT_EQ(mount->source, "/a");
  EXPECT_EQ(mount->target, "/b");
  EXPECT_TRUE(mount->read_only);
  EXPECT_EQ(parse_mount("target=/b")->type, "volume");
  EXPECT_FALSE(parse_mount("target=/b,readonly=false")->read_only);
  for (const char* wrong : {"type=bind", "target=/b,readonly=perhaps", "target=/b,x=y"})
    EXPECT_FALSE(parse_mount(wrong));
}

TEST(ParseFilters, BecomeTheJsonOfTheApi) {
  EXPECT_EQ(*parse_filters({}), "");
  EXPECT_EQ(*parse_filters({"name=a", "name=b", "label=x=y"}), R"({"label":["x=y"],"name":["a","b"]})");
  EXPECT_FALSE(parse_filters({"name"}));
  EXPECT_FALSE(parse_filters({"=a"}));
}

TEST(ParseScale, Table) {
  EXPECT_EQ(*parse_scale("web=3"), (std::pair<std::string, std::uint64_t>{"web", 3}));
  for (const char* wrong : {"web", "web=", "=3", "web=-1", "web=3x"}) EXPECT_FALSE(parse_scale(wrong)) << wrong;
}

TEST(SplitShellWords, AsAShell) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(*split_shell_words("a b  c"), (Words{"a", "b", "c"}));
  EXPECT_EQ(*split_shell_words("sh -c 'echo \"x y\"'"), (Words{"sh", "-c", "echo \"x y\""}));
  EXPECT_EQ(*split_shell_words("a\\ b \"c\\\"d\" ''"), (Words{"a b", "c\"d", ""}));
  EXPECT_EQ(*split_shell_words("  "), Words{});
  EXPECT_FALSE(split_shell_words("'a"));
}

TEST(ParseEnvFile, SkipsCommentsAndKeepsBlanksInValues) {
  EXPECT_EQ(*parse_env_file("# c\n\nA=1\r\n  B= two words \nC\n"),
            (std::vector<std::string>{"A=1", "B= two words ", "C"}));
  EXPECT_FALSE(parse_env_file("=x"));
  EXPECT_FALSE(parse_env_file("A B=1"));
}

TEST(SplitReference, Table) {
  using Parts = std::pair<std::string, std::string>;
  EXPECT_EQ(split_reference("nginx"), (Parts{"nginx", "latest"}));
  EXPECT_EQ(split_reference("a/b:1.0"), (Parts{"a/b", "1.0"}));
  EXPECT_EQ(split_reference("host:5000/a"), (Parts{"host:5000/a", "latest"}));
  EXPECT_EQ(split_reference("host:5000/a:2"), (Parts{"host:5000/a", "2"}));
  EXPECT_EQ(split_reference("a@sha256:12"), (Parts{"a", "sha256:12"}));
}

TEST(PullProgress, PrintsEachChangeOfALayerOnce) {
  PullProgress progress;
  EXPECT_EQ(*progress.take(R"({"status":"Pulling from library/nginx","id":"latest"})"),
            "latest: Pulling from library/nginx\n");
  EXPECT_EQ(*progress.take(R"({"status":"Downloading","id":"ab","progressDetail":{"current":1,"total":9}})"),
            "ab: Downloading\n");
  EXPECT_EQ(*progress.take(R"({"status":"Downloading","id":"ab","progressDetail":{"current":5,"total":9}})"), "");
  EXPECT_EQ(*progress.take(R"({"status":"Download complete","id":"ab"})"), "ab: Download complete\n");
  EXPECT_EQ(*progress.take(R"({"status":"Digest: sha256:1"})"), "Digest: sha256:1\n");
  EXPECT_EQ(progress.take(R"({"error":"no such image","errorDetail":{"message":"no such image"}})").error().message,
            "no such image");
  EXPECT_FALSE(progress.take("{"));
}

}  // namespace
}  // namespace mesh::meshctl
