#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "control/agent/cgroup_layout.h"
#include "control/agent/container_config.h"
#include "control/agent/container_user.h"
#include "control/agent/oci_spec.h"
#include "control/agent/placeholder.h"
#include "control/agent/seccomp.h"

namespace mesh::agent {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n# "
    "comment\nbroken\nweb:x:33:34::/srv:/bin/sh\nnumbered:x:1000:1000::/home/n:/bin/sh\n";
constexpr const char* kGroup = "root:x:0:\nweb:x:34:\nextra:x:50:web,other\nmore:x:51:root,web\n";

TEST(ContainerUser, AsDockerFindsThem) {
  struct Row {
    const char* user;
    ContainerUser expected;
  };
  for (const Row& row : {
           Row{"", {0, 0, {51}, "/root"}},
           Row{"root", {0, 0, {51}, "/root"}},
           Row{"web", {33, 34, {50, 51}, "/srv"}},
           Row{"33", {33, 34, {50, 51}, "/srv"}},
           Row{"web:root", {33, 0, {}, "/srv"}},
           Row{"web:50", {33, 50, {}, "/srv"}},
           Row{"4242", {4242, 0, {}, "/"}},
           Row{"4242:4343", {4242, 4343, {}, "/"}},
           Row{"4242:extra", {4242, 50, {}, "/"}},
       }) {
    const auto found = find_user(kPasswd, kGroup, row.user, {});
    ASSERT_TRUE(found) << row.user << ": " << found.error().message;
    EXPECT_EQ(*found, row.expected) << row.user;
  }
  EXPECT_THAT(find_user(kPasswd, kGroup, "4242", {"extra", "99"})->additional_gids, ElementsAre(50, 99));
}

TEST(ContainerUser, UnknownNamesAreErrors) {
  EXPECT_THAT(find_user(kPasswd, kGroup, "nobody", {}).error().message, HasSubstr("unable to find user nobody"));
  EXPECT_THAT(find_user(kPasswd, kGroup, "web:none", {}).error().message, HasSubstr("unable to find group none"));
  EXPECT_THAT(find_user("", "", "web", {}).error().message, HasSubstr("unable to find user web"));
  EXPECT_EQ(find_user("", "", "", {})->uid, 0U);
  EXPECT_FALSE(find_user(kPasswd, kGroup, "-1", {}));
}

TEST(StopSignal, NamesAndNumbers) {
  for (const auto& [text, number] :
       {std::pair{"SIGTERM", SIGTERM}, std::pair{"TERM", SIGTERM}, std::pair{"15", 15}, std::pair{"SIGWINCH", SIGWINCH},
        std::pair{"RTMIN+3", 37}, std::pair{"SIGRTMIN", 34}}) {
    EXPECT_EQ(parse_signal(text).value_or(-1), number) << text;
  }
  for (const char* text : {"", "SIG", "term", "0", "65", "RTMIN+99", "RTMINx"})
    EXPECT_FALSE(parse_signal(text)) << text;
}

TEST(Capabilities, DefaultsAndChanges) {
  const auto standard = *choose_capabilities({}, {});
  EXPECT_EQ(standard.size(), 14U);
  EXPECT_THAT(standard, Contains("CAP_NET_BIND_SERVICE"));
  EXPECT_THAT(standard, Not(Contains("CAP_NET_ADMIN")));
  EXPECT_THAT(*choose_capabilities({"net_admin"}, {"ALL"}), ElementsAre("CAP_NET_ADMIN"));
  EXPECT_THAT(*choose_capabilities({}, {"CAP_CHOWN"}), Not(Contains("CAP_CHOWN")));
  EXPECT_THAT(*choose_capabilities({"ALL"}, {"SYS_ADMIN"}),
              testing::AllOf(Contains("CAP_BPF"), Not(Contains("CAP_SYS_ADMIN"))));
  EXPECT_THAT(choose_capabilities({"FLY"}, {}).error().message, HasSubstr("\"CAP_FLY\""));
}

model::Task a_task() {
  model::Task task;
  task.id = "taskid";
  task.service_id = "serviceid";
  task.node_id = "nodeid";
  task.slot = 3;
  task.mesh.service_name = "web";
  task.mesh.service_labels = {{"tier", "front"}};
  task.mesh.container_name = "web.3.taskid";
  task.mesh.node_hostname = "host1";
  task.mesh.ingress_v4 = *IpAddress::parse("10.0.0.5");
  task.spec.container_spec = model::ContainerSpec{.image = "web"};
  return task;
}

TEST(Placeholders, DockersOnes) {
  for (const auto& [text, expected] : {
           std::pair{"plain {x}", "plain {x}"},
           std::pair{"{{.Service.Name}}-{{ .Task.Slot }}", "web-3"},
           std::pair{"{{.Node.Hostname}}/{{.Node.ID}}", "host1/nodeid"},
           std::pair{"{{.Service.Labels.tier}} {{index .Service.Labels \"tier\"}}", "front front"},
           std::pair{"{{.Task.Name}} {{.Task.ID}} {{.Service.ID}}", "web.3.taskid taskid serviceid"},
       }) {
    EXPECT_EQ(expand_placeholders(text, a_task()).value_or("<error>"), expected) << text;
  }
  EXPECT_THAT(expand_placeholders("{{.Nope}}", a_task()).error().message, HasSubstr("{{.Nope}}"));
  EXPECT_THAT(expand_placeholders("a {{.Task.ID", a_task()).error().message, HasSubstr("not closed"));
}

StoredImage an_image() {
  StoredImage image;
  image.id = "sha256:1";
  image.config.config.env = {"PATH=/custom", "A=image", "B=image"};
  image.config.config.entrypoint = {"/entry"};
  image.config.config.cmd = {"default"};
  image.config.config.working_dir = "/srv";
  image.config.config.user = "web";
  image.config.config.stop_signal = "SIGQUIT";
  image.config.config.labels = {{"from", "image"}};
  image.config.config.healthcheck = ImageHealthcheck{.test = {"CMD", "/probe"}, .interval = std::chrono::seconds(7)};
  image.config.rootfs.diff_ids = {"sha256:a", "sha256:b"};
  return image;
}

TEST(ContainerConfig, ImageAndSpecTogether) {
  model::Task task = a_task();
  task.spec.container_spec->env = {"A=spec", "HOST={{.Node.Hostname}}", "B"};
  task.spec.resources = model::Resources{.limits = model::ResourceLimits{500'000'000, 64 << 20, 10}};
  const auto config = make_container_config(task, an_image());
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_THAT(config->argv, ElementsAre("/entry", "default"));
  EXPECT_THAT(config->env,
              testing::UnorderedElementsAre("PATH=/custom", "HOSTNAME=" + config->hostname, "A=spec", "HOST=host1"));
  EXPECT_EQ(config->cwd, "/srv");
  EXPECT_EQ(config->user, "web");
  EXPECT_EQ(config->stop_signal, SIGQUIT);
  EXPECT_EQ(config->stop_grace, std::chrono::seconds(10));
  EXPECT_EQ(config->hostname, config->id.substr(0, 12));
  EXPECT_EQ(config->id, container_id_of("taskid"));
  EXPECT_EQ(config->nano_cpus, 500'000'000);
  EXPECT_EQ(config->pids, 10);
  ASSERT_TRUE(config->health);
  EXPECT_THAT(config->health->argv, ElementsAre("/probe"));
  EXPECT_EQ(config->health->interval, std::chrono::seconds(7));
  EXPECT_EQ(config->health->timeout, std::chrono::seconds(30));
  EXPECT_EQ(config->health->retries, 3);
  EXPECT_EQ(config->labels.at("from"), "image");
  EXPECT_EQ(config->labels.at("com.docker.swarm.task.name"), "web.3.taskid");
  // Kept beside the container and read again by the next meshd.
  const auto again = decode<ContainerConfig>(encode(*config));
  ASSERT_TRUE(again);
  EXPECT_EQ(to_text(encode(*again)), to_text(encode(*config)));
}

TEST(ContainerConfig, CommandRules) {
  struct Row {
    std::vector<std::string> command, args, expected;
  };
  for (const Row& row : {Row{{}, {}, {"/entry", "default"}}, Row{{}, {"x"}, {"/entry", "x"}},
                         Row{{"/other"}, {}, {"/other"}}, Row{{"/other"}, {"x"}, {"/other", "x"}}}) {
    model::Task task = a_task();
    task.spec.container_spec->command = row.command;
    task.spec.container_spec->args = row.args;
    EXPECT_EQ(make_container_config(task, an_image())->argv, row.expected);
  }
}

TEST(ContainerConfig, WhatCannotBeDoneIsNamed) {
  struct Row {
    const char* expected;
    std::function<void(model::ContainerSpec&)> change;
  };
  for (const Row& row : {
           Row{"\"volume\"", [](auto& spec) { spec.mounts = {{.type = "volume", .source = "v", .target = "/v"}}; }},
           Row{"absolute", [](auto& spec) { spec.mounts = {{.type = "bind", .source = "v", .target = "/v"}}; }},
           Row{"secrets", [](auto& spec) { spec.secrets.emplace_back(); }},
           Row{"configs", [](auto& spec) { spec.configs.emplace_back(); }},
           Row{"SIGNOPE", [](auto& spec) { spec.stop_signal = "SIGNOPE"; }},
           Row{"working directory", [](auto& spec) { spec.dir = "here"; }},
           Row{"{{.Nope}}", [](auto& spec) { spec.env = {"A={{.Nope}}"}; }},
           Row{"CAP_FLY", [](auto& spec) { spec.capability_add = {"FLY"}; }},
           Row{"health check", [](auto& spec) { spec.healthcheck = model::HealthConfig{.test = {"echo"}}; }},
       }) {
    model::Task task = a_task();
    row.change(*task.spec.container_spec);
    const auto config = make_container_config(task, an_image());
    ASSERT_FALSE(config) << row.expected;
    EXPECT_THAT(config.error().message, HasSubstr(row.expected));
  }
  StoredImage empty;
  EXPECT_THAT(make_container_config(a_task(), empty).error().message, HasSubstr("no command"));
}

TEST(HealthCheckForms, ShellNoneAndInherited) {
  model::Task task = a_task();
  task.spec.container_spec->healthcheck = model::HealthConfig{.test = {"CMD-SHELL", "test -e /x"}, .retries = 5};
  auto config = make_container_config(task, an_image());
  EXPECT_THAT(config->health->argv, ElementsAre("/bin/sh", "-c", "test -e /x"));
  EXPECT_EQ(config->health->interval, std::chrono::seconds(7)) << "from the image";
  EXPECT_EQ(config->health->retries, 5);
  task.spec.container_spec->healthcheck = model::HealthConfig{.test = {"NONE"}};
  EXPECT_FALSE(make_container_config(task, an_image())->health);
}

TEST(Seccomp, DebiansProfileForThisMachine) {
  const auto profile = read_file(kSeccompProfilePath);
  ASSERT_TRUE(profile) << "package golang-github-containers-common";
  const auto plain = resolve_seccomp(*profile, "amd64", *choose_capabilities({}, {}));
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->at("defaultAction").as_string(), "SCMP_ACT_ERRNO");
  EXPECT_EQ(to_text(plain->at("architectures")), R"(["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"])");
  const auto action_of = [](const Json& resolved, std::string_view name) {
    std::string actions;
    for (const Json& rule : resolved.at("syscalls").as_array()) {
      for (const Json& one : rule.at("names").as_array()) {
        if (one.as_string() == name) actions += std::string(rule.at("action").as_string()) + " ";
      }
    }
    return actions;
  };
  EXPECT_EQ(action_of(*plain, "read"), "SCMP_ACT_ALLOW ");
  EXPECT_EQ(action_of(*plain, "bpf"), "SCMP_ACT_ERRNO ");
  EXPECT_EQ(action_of(*plain, "arch_prctl"), "SCMP_ACT_ALLOW ");
  EXPECT_EQ(action_of(*plain, "chroot"), "SCMP_ACT_ALLOW ");
  const auto admin = resolve_seccomp(*profile, "amd64", {"CAP_SYS_ADMIN"});
  EXPECT_EQ(action_of(*admin, "bpf"), "SCMP_ACT_ALLOW ");
  EXPECT_EQ(action_of(*admin, "chroot"), "SCMP_ACT_ERRNO ");
  const auto arm = resolve_seccomp(*profile, "arm64", {});
  EXPECT_EQ(action_of(*arm, "arch_prctl"), "");
  EXPECT_FALSE(resolve_seccomp("{", "amd64", {}));
  EXPECT_FALSE(resolve_seccomp(*profile, "vax", {}));
}

TEST(OciSpec, DefaultConfinementAndLimits) {
  model::Task task = a_task();
  task.spec.resources = model::Resources{.limits = model::ResourceLimits{1'500'000'000, 64 << 20, 100}};
  auto config = *make_container_config(task, an_image());
  config.mounts = {{"tmpfs", "tmpfs", "/data/deep", {"rw"}}, {"bind", "/host", "/data", {"rbind", "ro"}}};
  ContainerPlaces places;
  places.directory = "/c/1";
  places.netns_path = "/run/netns/t";
  places.cgroup_path = "/p/meshd/1";
  const Json spec = make_oci_spec(config, {33, 34, {50}, "/srv"}, Json(JsonObject{{"x", 1}}), places);
  EXPECT_EQ(spec.at("ociVersion").as_string(), "1.0.2");
  EXPECT_EQ(to_text(spec.at("root")), R"({"path":"/c/1/rootfs","readonly":false})");
  const Json& process = spec.at("process");
  EXPECT_EQ(to_text(process.at("user")), R"({"uid":33,"gid":34,"additionalGids":[50]})");
  EXPECT_EQ(process.at("capabilities").at("bounding").as_array().size(), 14U);
  EXPECT_FALSE(process.at("capabilities").as_object().contains("ambient"));
  EXPECT_THAT(to_text(process.at("env")), HasSubstr("HOME=/srv"));
  EXPECT_EQ(process.at("oomScoreAdj").as_int64(), 0);
  const Json& os = spec.at("linux");
  EXPECT_EQ(to_text(os.at("resources").at("cpu")), R"({"period":100000,"quota":150000})");
  EXPECT_EQ(os.at("resources").at("memory").at("limit").as_int64(), 64 << 20);
  EXPECT_EQ(os.at("resources").at("pids").at("limit").as_int64(), 100);
  EXPECT_EQ(to_text(os.at("resources").at("devices").as_array()[0]), R"({"allow":false,"access":"rwm"})");
  EXPECT_EQ(to_text(os.at("sysctl")), R"({"net.ipv4.ip_unprivileged_port_start":"0"})");
  EXPECT_THAT(to_text(os.at("namespaces")), HasSubstr(R"({"type":"network","path":"/run/netns/t"})"));
  EXPECT_THAT(to_text(os.at("namespaces")), Not(HasSubstr("cgroup")));
  EXPECT_THAT(to_text(os.at("maskedPaths")), HasSubstr("/proc/kcore"));
  EXPECT_THAT(to_text(os.at("readonlyPaths")), HasSubstr("/proc/sys"));
  EXPECT_EQ(os.at("cgroupsPath").as_string(), "/p/meshd/1");
  const std::string mounts = to_text(spec.at("mounts"));
  EXPECT_LT(mounts.find("\"/data\""), mounts.find("\"/data/deep\"")) << "the outer mount comes first";
  EXPECT_THAT(mounts, HasSubstr("size=67108864"));
  EXPECT_THAT(mounts, HasSubstr(R"("destination":"/etc/resolv.conf","type":"bind","source":"/c/1/resolv.conf")"));
}

TEST(OciSpec, InitReadOnlyAndCgroupNamespace) {
  auto config = *make_container_config(a_task(), an_image());
  config.init = true;
  config.read_only = true;
  config.nano_cpus = 1;
  ContainerPlaces places;
  places.cgroup_namespace = true;
  places.init_path = "/usr/bin/tini-static";
  const Json spec = make_oci_spec(config, {}, Json(nullptr), places);
  EXPECT_EQ(to_text(spec.at("process").at("args")), R"(["/sbin/docker-init","--","/entry","default"])");
  EXPECT_TRUE(spec.at("root").at("readonly").as_bool());
  EXPECT_THAT(to_text(spec.at("linux").at("namespaces")), HasSubstr("cgroup"));
  EXPECT_FALSE(spec.at("linux").as_object().contains("seccomp"));
  EXPECT_EQ(spec.at("linux").at("resources").at("cpu").at("quota").as_int64(), 1000) << "the kernel's least";
}

TEST(OciSpec, FilesOfTheContainer) {
  auto config = *make_container_config(a_task(), an_image());
  config.hostname = "box";
  config.hosts = {"1.2.3.4 other"};
  config.dns.search = {"example.org"};
  config.dns.options = {"timeout:1"};
  EXPECT_THAT(make_hosts_file(config), testing::AllOf(HasSubstr("127.0.0.1\tlocalhost\n"), HasSubstr("1.2.3.4 other\n"),
                                                      HasSubstr("10.0.0.5\tbox\n")));
  EXPECT_EQ(make_resolv_conf(config), "nameserver 127.0.0.11\nsearch example.org\noptions ndots:0 timeout:1\n");
}

TEST(CgroupLayout, HybridPureAndPrefixes) {
  const std::string hybrid =
      "24 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
      "25 24 0:23 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "26 24 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
      "27 1 0:25 / /mnt/other rw - cgroup2 cgroup2 rw\nbroken line\n";
  const std::string pure = "24 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
  struct Row {
    std::string mounts, root, hook, container;
    bool v2_only;
  };
  for (const Row& row : {
           Row{hybrid, "", "/sys/fs/cgroup/unified", "/meshd/c", false},
           Row{hybrid, "/sys/fs/cgroup/unified/lab/node1", "/sys/fs/cgroup/unified/lab/node1", "/lab/node1/meshd/c",
               false},
           Row{hybrid, "lab/node1/", "/sys/fs/cgroup/unified/lab/node1", "/lab/node1/meshd/c", false},
           Row{hybrid, "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified", "/meshd/c", false},
           Row{pure, "", "/sys/fs/cgroup", "/meshd/c", true},
           Row{pure, "/sys/fs/cgroup/a", "/sys/fs/cgroup/a", "/a/meshd/c", true},
       }) {
    const auto layout = parse_cgroup_layout(row.mounts, row.root);
    ASSERT_TRUE(layout) << row.root << ": " << layout.error().message;
    EXPECT_EQ(layout->hook_directory(), row.hook);
    EXPECT_EQ(layout->container_path("c"), row.container);
    EXPECT_EQ(layout->v2_only(), row.v2_only);
  }
  EXPECT_EQ(parse_cgroup_layout("24 1 0:22 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw\n", "").error().kind,
            ErrorKind::kUnsupported);
  EXPECT_EQ(parse_cgroup_layout(hybrid, "/sys/fs/cgroup/memory/x").error().kind, ErrorKind::kInvalid);
}

}  // namespace
}  // namespace mesh::agent
