#include <unistd.h>

#include <gtest/gtest.h>

#include "base/file.h"
#include "control/meshd/options.h"

namespace mesh::meshd {
namespace {

class OptionsTest : public testing::Test {
 protected:
  OptionsTest() {
    char name[] = "/tmp/mesh-options-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~OptionsTest() override { (void)remove_tree(directory_); }
  std::string file(const std::string& text) {
    const std::string path = directory_ + "/meshd.yaml";
    EXPECT_TRUE(write_file(path, text));
    return path;
  }
  std::string directory_;
};

TEST_F(OptionsTest, Defaults) {
  const Result<CommandLine> line = read_options({}, {});
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->options.data_dir, "/var/lib/meshd");
  EXPECT_EQ(line->options.socket, "/run/meshd.sock");
  EXPECT_EQ(line->options.listen, "0.0.0.0:2377");
  EXPECT_EQ(line->options.uplink_mode, "auto");
  EXPECT_FALSE(line->options.cleanup);
  EXPECT_EQ(line->answer, "");
}

TEST_F(OptionsTest, EverySettingIsAFlagAVariableAndAKey) {
  for (const Setting& setting : settings()) {
    const std::string name = setting.name;
    const std::string value = name == "uplink-mode"                                                    ? "tc"
                              : name == "log-level"                                                    ? "debug"
                              : name == "registry-mirror"                                              ? "mirror:5000"
                              : name == "listen" || name == "advertise-addr" || name == "metrics-addr" ? "10.1.2.3:99"
                                                                                                       : "/a/b";
    std::string variable = "MESHD_";
    for (const char c : name) variable += c == '-' ? '_' : static_cast<char>(std::toupper(c));
    for (const auto& [arguments, environment] :
         {std::pair{std::vector{"--" + name, value}, std::vector<std::string>{}},
          std::pair{std::vector<std::string>{}, std::vector{variable + "=" + value}},
          std::pair{std::vector<std::string>{"--config", file(name + ": " + value + "\n")},
                    std::vector<std::string>{}}}) {
      const Result<CommandLine> line = read_options(arguments, environment);
      ASSERT_TRUE(line) << name << ": " << line.error().message;
      EXPECT_EQ(line->options.*(setting.value), value) << name;
    }
  }
}

TEST_F(OptionsTest, TheFlagWinsThenTheEnvironmentThenTheFile) {
  const std::string config = file("uplink: from-file\nuplink-mode: tc\nsocket: /from/file\n");
  const Result<CommandLine> line =
      read_options({"--config", config, "--uplink", "from-flag"}, {"MESHD_UPLINK=from-env", "MESHD_SOCKET=/from/env"});
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->options.uplink, "from-flag");
  EXPECT_EQ(line->options.socket, "/from/env");
  EXPECT_EQ(line->options.uplink_mode, "tc");
}

TEST_F(OptionsTest, TheFileMayBeNamedInTheEnvironment) {
  const std::string config = "MESHD_CONFIG=" + file("uplink: from-file\n");
  EXPECT_EQ(read_options({}, {config})->options.uplink, "from-file");
  const std::string absent = directory_ + "/absent.yaml";
  EXPECT_FALSE(read_options({"--config", absent}, {config})) << "the flag wins";
}

TEST_F(OptionsTest, MirrorsAreHosts) {
  for (const char* mirror : {"mirror", "mirror.example:5000", "http://mirror:5000", "https://mirror.example",
                             "172.30.0.9:5000", "https://[fd00::1]:5000"}) {
    EXPECT_TRUE(read_options({"--registry-mirror", mirror}, {})) << mirror;
  }
}

TEST_F(OptionsTest, HelpAndVersionAreAnswers) {
  EXPECT_EQ(read_options({"--version"}, {})->answer, std::string("meshd ") + kVersion + "\n");
  EXPECT_NE(read_options({"--help"}, {})->answer.find("MESHD_DATA_DIR"), std::string::npos);
}

TEST_F(OptionsTest, MistakesAreNamed) {
  const struct {
    std::vector<std::string> arguments;
    std::string names;
  } cases[] = {
      {{"--nonsense"}, "--nonsense"},
      {{"--data-dir"}, "--data-dir"},
      {{"stray"}, "stray"},
      {{"--uplink-mode", "warp"}, "warp"},
      {{"--log-level", "loud"}, "loud"},
      {{"--listen", "nowhere"}, "listen"},
      {{"--advertise-addr", "300.1.1.1"}, "advertise-addr"},
      {{"--metrics-addr", "somewhere:9100"}, "metrics-addr"},
      {{"--metrics-addr", "192.0.2.1"}, "metrics-addr"},
      {{"--metrics-addr", "192.0.2.1:99999"}, "metrics-addr"},
      {{"--data-dir", "relative"}, "absolute"},
      {{"--registry-mirror", "ftp://mirror"}, "registry-mirror: \"ftp://mirror\""},
      {{"--registry-mirror", "https://"}, "registry-mirror"},
      {{"--registry-mirror", "http://https://mirror"}, "registry-mirror"},
      {{"--registry-mirror", "mirror:99999"}, "registry-mirror"},
      {{"--registry-mirror", "mirror/path"}, "registry-mirror"},
      {{"--config", directory_ + "/absent.yaml"}, "absent.yaml"},
      {{"--config", file("data-dir: [1,2]\n")}, "meshd.yaml:1"},
  };
  for (const auto& test : cases) {
    const Result<CommandLine> line = read_options(test.arguments, {});
    ASSERT_FALSE(line) << test.names;
    EXPECT_NE(line.error().message.find(test.names), std::string::npos) << line.error().message;
  }
  for (const auto& [text, names] : {std::pair{"uplink: a\ncolour: red\n", "meshd.yaml:2: unknown key \"colour\""},
                                    std::pair{"uplink: a\nuplink: b\n", "set twice"}, std::pair{"- a\n", "key: value"},
                                    std::pair{"a: [\n", "meshd.yaml:"}}) {
    const Result<CommandLine> line = read_options({"--config", file(text)}, {});
    ASSERT_FALSE(line) << text;
    EXPECT_NE(line.error().message.find(names), std::string::npos) << line.error().message;
  }
}

}  // namespace
}  // namespace mesh::meshd
