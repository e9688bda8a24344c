// The handlers, request by request: what they answer, and what they refuse.
#include "tests/unit/api_fixture.h"

namespace mesh::api {
namespace {

TEST_F(ApiTest, VersionsAreCheckedAndStripped) {
  const struct {
    std::string target;
    int status;
  } cases[] = {{"/_ping", 200},
               {"/v1.24/_ping", 200},
               {"/v1.41/_ping", 200},
               {"/v1.50/_ping", 200},
               {"/v1.23/_ping", 400},
               {"/v1.51/_ping", 400},
               {"/v2.0/_ping", 400},
               {"/v0.9/_ping", 400},
               {"/vx/_ping", 404},
               {"/v1.41", 404},
               {"/", 404},
               {"/v1.41/nothing", 404}};
  for (const auto& test : cases) EXPECT_EQ(ask("GET", test.target).status, test.status) << test.target;
  EXPECT_NE(message("GET", "/v1.99/info", 400).find("too new"), std::string::npos);
  EXPECT_NE(message("GET", "/v1.12/info", 400).find("too old"), std::string::npos);
  EXPECT_EQ(ask("POST", "/info").status, 405);
}

TEST_F(ApiTest, HeadHasNoBody) {
  const Response response = ask("HEAD", "/_ping");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "");
  EXPECT_EQ(response.headers.at("Swarm"), "inactive");
}

TEST_F(ApiTest, PatternsMatch) {
  std::map<std::string, std::string> captures;
  EXPECT_TRUE(match_path("/images/{name*}/json", "/images/a/b/c:1/json", captures));
  EXPECT_EQ(captures["name"], "a/b/c:1");
  EXPECT_TRUE(match_path("/services/{id}", "/services/web", captures));
  EXPECT_EQ(captures["id"], "web");
  EXPECT_FALSE(match_path("/services/{id}", "/services/web/update", captures));
  EXPECT_FALSE(match_path("/services/{id}", "/services/", captures));
  EXPECT_FALSE(match_path("/services/{id}", "/services", captures));
  EXPECT_FALSE(match_path("/images/{name*}/json", "/images/json", captures));
}

TEST_F(ApiTest, VersionAndInfo) {
  const Json version = json("GET", "/version", 200);
  EXPECT_EQ(text_of(version, "/ApiVersion"), "1.50");
  EXPECT_EQ(text_of(version, "/MinAPIVersion"), "1.24");
  EXPECT_EQ(text_of(version, "/Arch"), "amd64");
  const Json info = json("GET", "/info", 200);
  EXPECT_EQ(text_of(info, "/Swarm/LocalNodeState"), "inactive");
  EXPECT_EQ(number_of(info, "/ContainersRunning"), 2);
  EXPECT_EQ(number_of(info, "/NCPU"), 2);
  make_manager();
  const Json managed = json("GET", "/info", 200);
  EXPECT_EQ(text_of(managed, "/Swarm/LocalNodeState"), "active");
  EXPECT_EQ(text_of(managed, "/Swarm/Cluster/ID"), "cluster1");
  EXPECT_EQ(number_of(managed, "/Swarm/Nodes"), 1);
  EXPECT_EQ(number_of(managed, "/Swarm/Managers"), 1);
  EXPECT_EQ(managed.at_pointer("/Swarm/Cluster").as_object().if_contains("Mesh"), nullptr);
  EXPECT_EQ(ask("GET", "/_ping").headers.at("Swarm"), "active/manager");
}

// features.md: the phrases that scripts look for.
TEST_F(ApiTest, InfoSaysWhichLimitsThisHostLacks) {
  Json info = json("GET", "/info", 200);
  EXPECT_TRUE(info.at_pointer("/MemoryLimit").as_bool());
  EXPECT_TRUE(info.at_pointer("/Warnings").is_null());
  node_.supported_limits = {.memory = false, .cpu = false, .pids = true};
  info = json("GET", "/info", 200);
  EXPECT_FALSE(info.at_pointer("/MemoryLimit").as_bool());
  EXPECT_FALSE(info.at_pointer("/CpuCfsQuota").as_bool());
  EXPECT_TRUE(info.at_pointer("/PidsLimit").as_bool());
  EXPECT_EQ(text_of(info, "/Warnings/0"), "WARNING: No memory limit support");
  EXPECT_EQ(text_of(info, "/Warnings/1"), "WARNING: No cpu cfs quota support");
}

TEST_F(ApiTest, ClusterStateIsRefusedOutsideAndOnWorkers) {
  for (const char* path : {"/nodes", "/services", "/tasks", "/swarm", "/services/x", "/swarm/unlockkey"}) {
    EXPECT_NE(message("GET", path, 503).find("This node is not a swarm manager"), std::string::npos) << path;
  }
  EXPECT_EQ(json("GET", "/networks", 200), Json(JsonArray{}));
  swarm_.shown.state = SwarmState::kActive;
  swarm_.shown.managers = {{"", "192.168.1.1:2377"}};
  const Json networks = json("GET", "/networks", 200);
  ASSERT_EQ(networks.as_array().size(), 2U) << "what carries packets here is known";
  EXPECT_EQ(text_of(networks, "/0/Name"), "back");
  EXPECT_EQ(text_of(networks, "/0/Driver"), "overlay");
  EXPECT_EQ(text_of(networks, "/0/IPAM/Config/0/Subnet"), "10.1.0.0/24");
  EXPECT_EQ(json("GET", R"(/networks?filters={"name":["ingress"]})", 200).as_array().size(), 1U);
  for (const char* path : {"/nodes", "/services", "/networks/back", R"(/networks?filters={"dangling":["true"]})"}) {
    const std::string text = message("GET", path, 503);
    EXPECT_NE(text.find("Worker nodes can't be used to view or modify cluster state"), std::string::npos) << text;
    EXPECT_NE(text.find("192.168.1.1:2377"), std::string::npos) << text;
  }
  EXPECT_EQ(ask("GET", "/_ping").headers.at("Swarm"), "active/worker");
}

TEST_F(ApiTest, SwarmCallsReachTheSwarm) {
  EXPECT_EQ(json("POST", "/swarm/init", 200,
                 R"({"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"eth0","DefaultAddrPool":null,"SubnetSize":24,
                     "Availability":"drain","Spec":{"Labels":null,"Orchestration":{},"Raft":{"ElectionTick":0}}})"),
            Json("node1"));
  EXPECT_EQ(swarm_.init_request.advertise_addr, "eth0");
  EXPECT_EQ(swarm_.init_request.availability, "drain");
  EXPECT_EQ(ask("POST", "/swarm/init", R"({"Availability":""})").status, 200) << "as the docker CLI says it";
  EXPECT_EQ(ask("POST", "/swarm/init", R"({"Availability":"asleep"})").status, 400);
  EXPECT_EQ(message("POST", "/swarm/join", 401, R"({"RemoteAddrs":["h:1"],"JoinToken":"t"})"), "wrong secret");
  EXPECT_EQ(swarm_.join_request.remote_addrs, std::vector<std::string>{"h:1"});
  EXPECT_EQ(ask("POST", "/swarm/leave").status, 503);
  EXPECT_EQ(ask("POST", "/swarm/leave?force=1").status, 200);
  EXPECT_EQ(ask("POST", "/swarm/init", "").status, 400);
  for (const auto& [target, body, names] :
       {std::tuple{"/swarm/init", R"({"DataPathAddr":"eth1"})", "--data-path-addr"},
        std::tuple{"/swarm/init", R"({"ForceNewCluster":true})", "--force-new-cluster"},
        std::tuple{"/swarm/join", R"({"DataPathAddr":"eth1","RemoteAddrs":["h:1"],"JoinToken":"t"})",
                   "--data-path-addr"}}) {
    EXPECT_NE(message("POST", target, 501, body).find(names), std::string::npos) << body;
  }
  EXPECT_NE(message("POST", "/swarm/init", 400, R"({"SubnetSize":"x"})").find("SubnetSize"), std::string::npos);
}

TEST_F(ApiTest, TokensAreShownAndRotated) {
  make_manager();
  const Json swarm = json("GET", "/swarm", 200);
  EXPECT_EQ(text_of(swarm, "/JoinTokens/Worker"), "W");
  EXPECT_EQ(text_of(swarm, "/JoinTokens/Manager"), "M");
  EXPECT_EQ(swarm.as_object().if_contains("Mesh"), nullptr);
  const std::string version = std::to_string(number_of(swarm, "/Version/Index"));
  const std::string spec = to_text(swarm.at_pointer("/Spec"));
  EXPECT_EQ(ask("POST", "/swarm/update?rotateWorkerToken=true", spec).status, 400) << "the version is missing";
  EXPECT_EQ(ask("POST", "/swarm/update?version=" + version + "&rotateWorkerToken=true", spec).status, 200);
  EXPECT_EQ(swarm_.rotations, 1);
  EXPECT_EQ(ask("POST", "/swarm/update?version=999999", spec).status, 409);
}

TEST_F(ApiTest, NodesAreListedInspectedAndUpdated) {
  make_manager();
  const Json nodes = json("GET", "/v1.41/nodes", 200);
  ASSERT_EQ(nodes.as_array().size(), 1U);
  EXPECT_EQ(text_of(nodes, "/0/Description/Hostname"), "host1");
  EXPECT_EQ(text_of(nodes, "/0/Status/State"), "ready");
  EXPECT_EQ(text_of(nodes, "/0/Spec/Availability"), "active");
  EXPECT_EQ(nodes.at(0).as_object().if_contains("Mesh"), nullptr);
  const std::string version = std::to_string(number_of(nodes, "/0/Version/Index"));
  EXPECT_EQ(text_of(json("GET", "/nodes/host1", 200), "/ID"), "node1");
  EXPECT_NE(message("GET", "/nodes/nobody", 404).find("nobody"), std::string::npos);

  const std::string spec = R"({"Role":"manager","Availability":"drain","Labels":{"disk":"ssd"}})";
  EXPECT_EQ(ask("POST", "/nodes/node1/update", spec).status, 400);
  EXPECT_NE(message("POST", "/nodes/node1/update?version=12345", 409, spec).find("update out of sequence"),
            std::string::npos);
  EXPECT_EQ(ask("POST", "/nodes/node1/update?version=" + version, spec).status, 200);
  EXPECT_EQ(text_of(json("GET", "/nodes/node1", 200), "/Spec/Labels/disk"), "ssd");
  EXPECT_NE(message("POST", "/nodes/node1/update?version=" + version, 400, R"({"Role":"king"})").find("Role"),
            std::string::npos);
  EXPECT_GE(ask("DELETE", "/nodes/node1").status, 400) << "a manager is not removed";
}

TEST_F(ApiTest, ServicesLiveAndDie) {
  make_manager();
  const int before = swarm_.changes;
  const std::string id = create_service("web", R"(,"Mode":{"Replicated":{"Replicas":2}},
      "EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":8010}]},"Labels":{"tier":"front"})");
  EXPECT_EQ(id.size(), 25U);
  EXPECT_GT(swarm_.changes, before);
  ASSERT_TRUE(swarm_.real->tick(now_));

  const Json service = json("GET", "/services/web", 200);
  EXPECT_EQ(text_of(service, "/ID"), id);
  EXPECT_EQ(text_of(service, "/Spec/TaskTemplate/ContainerSpec/Image"), "nginx:1");
  EXPECT_EQ(number_of(service, "/Endpoint/Ports/0/PublishedPort"), 8010);
  EXPECT_EQ(service.as_object().if_contains("Mesh"), nullptr);
  EXPECT_EQ(service.as_object().if_contains("ServiceStatus"), nullptr);
  EXPECT_EQ(service.as_object().if_contains("UpdateStatus"), nullptr) << "never updated";
  EXPECT_EQ(number_of(json("GET", "/services/web?insertDefaults=true", 200), "/Spec/UpdateConfig/Parallelism"), 1);

  const Json list = json("GET", "/services?status=true", 200);
  EXPECT_EQ(number_of(list, "/0/ServiceStatus/DesiredTasks"), 2);
  EXPECT_EQ(number_of(list, "/0/ServiceStatus/RunningTasks"), 0);
  const Json tasks = json("GET", "/tasks", 200);
  ASSERT_EQ(tasks.as_array().size(), 2U);
  EXPECT_EQ(text_of(tasks, "/0/ServiceID"), id);
  EXPECT_EQ(tasks.at(0).as_object().if_contains("Mesh"), nullptr);
  EXPECT_EQ(text_of(json("GET", "/tasks/" + text_of(tasks, "/0/ID"), 200), "/ServiceID"), id);

  const std::string version = std::to_string(number_of(service, "/Version/Index"));
  JsonObject spec = service.at_pointer("/Spec").as_object();
  spec["Mode"] = JsonObject{{"Replicated", JsonObject{{"Replicas", 3}}}};
  EXPECT_NE(message("POST", "/services/web/update?version=1", 409, to_text(spec)).find("update out of sequence"),
            std::string::npos);
  EXPECT_EQ(ask("POST", "/services/web/update?version=" + version, to_text(spec)).status, 200);
  ASSERT_TRUE(swarm_.real->tick(now_));
  EXPECT_EQ(json("GET", "/tasks?filters=%7B%22service%22%3A%7B%22web%22%3Atrue%7D%7D", 200).as_array().size(), 3U);

  EXPECT_EQ(ask("DELETE", "/services/web").status, 200);
  ASSERT_TRUE(swarm_.real->tick(now_));
  EXPECT_NE(message("DELETE", "/services/web", 404).find("web not found"), std::string::npos);
}

// Clients that wait for a service to converge ask how many tasks there shall be.
TEST_F(ApiTest, AServiceWithoutAModeHasOneTask) {
  make_manager();
  for (const char* mode : {"", R"(,"Mode":{})", R"(,"Mode":{"Replicated":{}})"}) {
    create_service("web", mode);
    const Json made = json("GET", "/services/web", 200);
    EXPECT_EQ(number_of(made, "/Spec/Mode/Replicated/Replicas"), 1) << mode;
    const std::string body =
        R"({"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"nginx:2"}})" + std::string(mode) + "}";
    json("POST", fmt::format("/services/web/update?version={}", number_of(made, "/Version/Index")), 200, body);
    EXPECT_EQ(number_of(json("GET", "/services/web", 200), "/Spec/Mode/Replicated/Replicas"), 1) << mode;
    EXPECT_EQ(ask("DELETE", "/services/web").status, 200);
    ASSERT_TRUE(swarm_.real->tick(now_));
  }
}

TEST_F(ApiTest, HostsAreAskedForNewPortsBeforeTheyArePublished) {
  make_manager();
  const auto body = [](const char* name, const char* ports) {
    return fmt::format(R"({{"Name":"{}","TaskTemplate":{{"ContainerSpec":{{"Image":"nginx:1"}}}},"EndpointSpec":)"
                       R"({{"Ports":[{}]}}}})",
                       name, ports);
  };
  const char* one = R"({"TargetPort":80,"PublishedPort":8010})";
  swarm_.used_ports = {"8010/tcp"};
  EXPECT_NE(message("POST", "/services/create", 409, body("web", one)).find("on host2 by httpd"), std::string::npos);
  EXPECT_TRUE(swarm_.real->view().services().empty()) << "nothing was made";
  swarm_.used_ports = {"8010/udp"};
  swarm_.asked_ports.clear();
  json("POST", "/services/create", 201, body("web", one));
  EXPECT_EQ(swarm_.asked_ports, std::vector<std::string>{"8010/tcp"});
  const char* udp = R"({"TargetPort":80,"PublishedPort":8010,"Protocol":"udp"})";
  EXPECT_NE(message("POST", "/services/create", 409, body("names", udp)).find("8010/udp is already in use"),
            std::string::npos);
  // Only what is new, by number, on all hosts.
  const char* more =
      R"({"TargetPort":80,"PublishedPort":8010},{"TargetPort":81,"PublishedPort":8011},{"TargetPort":82})";
  const auto version = number_of(json("GET", "/services/web", 200), "/Version/Index");
  const std::string target = fmt::format("/services/web/update?version={}", version);
  swarm_.used_ports = {"8011/tcp"};
  swarm_.asked_ports.clear();
  message("POST", target, 409, body("web", more));
  EXPECT_EQ(swarm_.asked_ports, std::vector<std::string>{"8011/tcp"});
  EXPECT_EQ(number_of(json("GET", "/services/web", 200), "/Version/Index"), version);
}

TEST_F(ApiTest, OptionsOfTheMeshAreLabelsOfTheService) {
  make_manager();
  const auto body = [](const char* labels) {
    return fmt::format(R"({{"Name":"web","Labels":{{{}}},"TaskTemplate":{{"ContainerSpec":{{"Image":"nginx:1"}}}},)"
                       R"("EndpointSpec":{{"Ports":[{{"TargetPort":80,"PublishedPort":8010}}]}}}})",
                       labels);
  };
  const auto update = [&] {
    return fmt::format("/services/web/update?version={}",
                       number_of(json("GET", "/services/web", 200), "/Version/Index"));
  };
  EXPECT_NE(message("POST", "/services/create", 400, body(R"("mesh.return":"both")")).find("label mesh.return"),
            std::string::npos);
  swarm_.asked_nodes.clear();
  // Nobody is to answer yet, so nobody is asked.
  const Json created =
      json("POST", "/services/create", 201, body(R"("mesh.port.8010/tcp.on":"node.labels.edge==true")"));
  EXPECT_NE(text_of(created, "/Warnings/0").find("no node meets node.labels.edge==true"), std::string::npos);
  EXPECT_TRUE(swarm_.asked_nodes.empty());
  for (const char* wrong : {R"("mesh.port.8010/tcp.on":"edge")", R"("mesh.port.8010/tcp.on":"node.edge==1")",
                            R"("mesh.affinity":"client-ip","mesh.prefer":"local")", R"("mesh.bogus":"")"}) {
    message("POST", update(), 400, body(wrong));
  }
  swarm_.asked_nodes.clear();
  // Who is to answer from now on is asked first.
  json("POST", update(), 200, body(R"("mesh.port.8010/tcp.on":"node.hostname==host1")"));
  EXPECT_EQ(swarm_.asked_nodes, std::vector<std::set<std::string>>{{"node1"}});
  json("POST", update(), 200, body(R"("mesh.port.8010/tcp.allow":"10.0.0.1")"));
  EXPECT_EQ(swarm_.asked_nodes.size(), 1U);
  EXPECT_EQ(text_of(json("GET", "/services/web", 200), "/Spec/Labels/mesh.port.8010~1tcp.allow"), "10.0.0.1");
}

TEST_F(ApiTest, HostsAreAskedForPortsThatTheClusterChooses) {
  make_manager();
  const auto body = [](const char* ports) {
    return fmt::format(R"({{"Name":"web","TaskTemplate":{{"ContainerSpec":{{"Image":"nginx:1"}}}},"EndpointSpec":)"
                       R"({{"Ports":[{}]}}}})",
                       ports);
  };
  const auto published = [&] {
    std::vector<std::int64_t> numbers;
    const Json service = json("GET", "/services/web", 200);
    const Json* ports = service.at_pointer("/Endpoint").as_object().if_contains("Ports");
    if (ports == nullptr) return numbers;
    for (const Json& port : ports->as_array()) numbers.push_back(number_of(port, "/PublishedPort"));
    return numbers;
  };
  const auto target = [&](const char* more) {
    const auto version = number_of(json("GET", "/services/web", 200), "/Version/Index");
    return fmt::format("/services/web/update?version={}{}", version, more);
  };
  swarm_.used_ports = {"30000/tcp", "30001/tcp", "30003/tcp"};
  json("POST", "/services/create", 201,
       body(R"({"TargetPort":80},{"TargetPort":81},{"TargetPort":80,"Protocol":"udp"})"));
  EXPECT_EQ(published(), (std::vector<std::int64_t>{30002, 30004, 30000}));

  // A port that is published is not asked for again, and one that comes back is.
  swarm_.asked_ports.clear();
  json("POST", target(""), 200, body(R"({"TargetPort":80})"));
  EXPECT_EQ(swarm_.asked_ports, std::vector<std::string>{});
  swarm_.used_ports.insert("30000/udp");
  json("POST", target("&rollback=previous"), 200, body(""));
  EXPECT_EQ(published().front(), 30002);
  EXPECT_NE(published().back(), 30000);

  json("POST", target(""), 200, body(R"({"TargetPort":80,"PublishedPort":8010})"));
  json("POST", target(""), 200, body(""));
  swarm_.used_ports.insert("8010/tcp");
  EXPECT_NE(message("POST", target("&rollback=previous"), 409, body("")).find("8010/tcp is already in use"),
            std::string::npos);
  EXPECT_EQ(published(), std::vector<std::int64_t>{});

  for (int port = 30000; port <= 30200; ++port) swarm_.used_ports.insert(fmt::format("{}/tcp", port));
  EXPECT_NE(message("POST", target(""), 409, body(R"({"TargetPort":82})")).find("name a free one"), std::string::npos);
}

TEST_F(ApiTest, MoreTasksThanAPortLeadsToAreWarnedOf) {
  make_manager();
  const auto body = [](int replicas) {
    return R"({"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"nginx:1"}},"Mode":{"Replicated":{"Replicas":)" +
           std::to_string(replicas) + R"(}},"EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":18010}]}})";
  };
  const Json created = json("POST", "/services/create", 201, body(200));
  EXPECT_NE(text_of(created, "/Warnings/0").find("18010/tcp leads to at most 127 tasks"), std::string::npos);
  const auto update = [&](int replicas) {
    const auto version = number_of(json("GET", "/services/web", 200), "/Version/Index");
    return json("POST", "/services/web/update?version=" + std::to_string(version), 200, body(replicas));
  };
  EXPECT_TRUE(update(127).at_pointer("/Warnings").is_null());
  EXPECT_NE(text_of(update(128), "/Warnings/0").find("the other 1"), std::string::npos);
}

TEST_F(ApiTest, AServiceWithoutANameGetsOne) {
  make_manager();
  std::set<std::string> names;
  for (int i = 0; i < 300; ++i) create_service("");  // more than there are pairs of words
  for (const Json& service : json("GET", "/services", 200).as_array()) names.insert(text_of(service, "/Spec/Name"));
  EXPECT_EQ(names.size(), 300U);
  EXPECT_FALSE(names.contains(""));
}

TEST_F(ApiTest, WhatAServiceMustNotBe) {
  make_manager();
  create_service("web", R"(,"EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":8010}]})");
  const struct {
    std::string body;
    int status;
    std::string names;  // occurs in the message
  } cases[] = {
      {"", 400, "body"},
      {"garbage", 400, "body"},
      {"[]", 400, "object"},
      {"null", 400, "object"},
      {R"({"Name":"x")", 400, "body"},
      {R"({"Name":7})", 400, "Name"},
      {R"({"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i","Env":"A=1"}}})", 400,
       "TaskTemplate.ContainerSpec.Env"},
      {R"({"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i"},"Resources":{"Limits":{"NanoCPUs":"1"}}}})", 400,
       "TaskTemplate.Resources.Limits.NanoCPUs"},
      {R"({"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i"}},"EndpointSpec":{"Ports":[{"TargetPort":70000}]}})",
       400, "EndpointSpec.Ports[0].TargetPort"},
      {R"({"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i"}},"EndpointSpec":{"Ports":[{"TargetPort":80,"Protocol":"icmp"}]}})",
       400, "Protocol"},
      {R"({"Name":"bad name!","TaskTemplate":{"ContainerSpec":{"Image":"i"}}})", 400, "name"},
      {R"({"Name":"x","TaskTemplate":{}})", 400, ""},
      {R"({"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"i"}}})", 409, "web"},
      {R"({"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i"},"Networks":[{"Target":"nowhere"}]}})", 404,
       "nowhere"},
  };
  for (const auto& test : cases) {
    const std::string text = message("POST", "/services/create", test.status, test.body);
    EXPECT_NE(text.find(test.names), std::string::npos) << test.body << "\n" << text;
  }
  const auto published = [](const char* how) {
    return fmt::format(R"({{"Name":"x","TaskTemplate":{{"ContainerSpec":{{"Image":"i"}}}},"EndpointSpec":{{"Ports":)"
                       R"([{{"TargetPort":80,"PublishedPort":8011,{}}}]}}}})",
                       how);
  };
  EXPECT_NE(message("POST", "/services/create", 400, published(R"("Protocol":"sctp")")).find("80:80/sctp"),
            std::string::npos);
  EXPECT_EQ(json("GET", "/services", 200).as_array().size(), 1U) << "nothing was made";
  const Response auth =
      ask("POST", "/services/create", R"({"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i"}}})",
          {{"x-registry-auth", "!!!"}});
  EXPECT_EQ(auth.status, 400) << auth.body;
}

TEST_F(ApiTest, CredentialsThatDoNotReachTheHostsAreWarnedOf) {
  make_manager();
  const std::string body = R"({"Name":"x","TaskTemplate":{"ContainerSpec":{"Image":"i"}}})";
  const auto with = [&](const std::string& target, const std::string& auth) {
    return ask("POST", target, body, {{"x-registry-auth", auth}}).body;
  };
  const std::string someone = "eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJ4In0=";  // {"username":"me","password":"x"}
  const std::string warning = "each pulls with those in its own /var/lib/meshd/auth.json";
  EXPECT_NE(with("/services/create", someone).find(warning), std::string::npos);
  const auto target = [&] {
    const auto version = number_of(json("GET", "/services/x", 200), "/Version/Index");
    return "/services/x/update?version=" + std::to_string(version);
  };
  EXPECT_NE(with(target(), someone).find(warning), std::string::npos);
  EXPECT_EQ(with(target(), "e30=").find(warning), std::string::npos) << "{}, as the docker CLI says it";
}

TEST_F(ApiTest, NetworksAreMadeAndFound) {
  make_manager();
  EXPECT_NE(message("POST", "/networks/create", 400, R"({"Name":"n","Driver":"bridge"})").find("overlay"),
            std::string::npos);
  const Json made = json("POST", "/networks/create", 201,
                         R"({"Name":"back","Driver":"overlay","CheckDuplicate":true,"IPAM":null,"EnableIPv6":null})");
  const std::string id = text_of(made, "/Id");
  ASSERT_TRUE(swarm_.real->tick(now_));
  const Json network = json("GET", "/networks/back?scope=swarm&verbose=true", 200);
  EXPECT_EQ(text_of(network, "/Id"), id);
  EXPECT_EQ(text_of(network, "/Driver"), "overlay");
  EXPECT_EQ(text_of(network, "/Scope"), "swarm");
  EXPECT_EQ(network.as_object().if_contains("Mesh"), nullptr);
  EXPECT_FALSE(text_of(network, "/IPAM/Config/0/Subnet").empty());
  EXPECT_EQ(json("GET", "/networks", 200).as_array().size(), 2U) << "and ingress";
  EXPECT_EQ(json("GET", R"(/networks?filters={"type":["custom"]})", 200).as_array().size(), 1U);
  EXPECT_EQ(ask("GET", "/networks/back?scope=local").status, 404);
  EXPECT_EQ(ask("POST", "/networks/create", R"({"Name":"back","Driver":"overlay"})").status, 409);
  EXPECT_EQ(ask("DELETE", "/networks/back").status, 204);
  EXPECT_EQ(ask("DELETE", "/networks/back").status, 404);
}

TEST_F(ApiTest, ImagesAreListedInspectedAndPulled) {
  EXPECT_EQ(text_of(json("GET", "/images/json", 200), "/0/RepoTags/0"), "nginx:1");
  EXPECT_EQ(json("GET", R"(/images/json?filters={"reference":["other"]})", 200).as_array().size(), 0U);
  EXPECT_EQ(text_of(json("GET", "/images/nginx:1/json", 200), "/Architecture"), "amd64");
  EXPECT_EQ(ask("GET", "/images/a/b/none:2/json").status, 404);
  EXPECT_EQ(text_of(json("GET", "/distribution/reg:5000/a/b:2/json", 200), "/Descriptor/digest"), "sha256:abc");
  EXPECT_EQ(node_.resolved, "reg:5000/a/b:2");

  node_.pull_lines = {{"", "Pulling from nginx", 0, 0}, {"layer1", "Downloading", 5, 10}};
  const std::string credentials = R"({"username":"user","password":"p"})";
  const Response pulled = ask("POST", "/images/create?fromImage=nginx&tag=1", "",
                              {{"x-registry-auth", base64_encode(as_bytes(credentials))}});
  EXPECT_EQ(pulled.status, 200);
  EXPECT_EQ(node_.pulled, "nginx:1");
  EXPECT_EQ(node_.pulled_by, "user");
  EXPECT_NE(pulled.body.find(R"("progressDetail":{"current":5,"total":10})"), std::string::npos) << pulled.body;
  EXPECT_NE(pulled.body.find("Digest: sha256:abc"), std::string::npos);
  ask("POST", "/images/create?fromImage=nginx&tag=sha256:12");
  EXPECT_EQ(node_.pulled, "nginx@sha256:12");

  node_.pull_result = fail(ErrorKind::kUnavailable, "registry down");
  EXPECT_NE(ask("POST", "/images/create?fromImage=nginx").body.find(R"("error":"registry down")"), std::string::npos);
  node_.pull_lines.clear();
  EXPECT_EQ(message("POST", "/images/create?fromImage=nginx", 503), "registry down");
  EXPECT_EQ(ask("POST", "/images/create").status, 501);
}

TEST_F(ApiTest, WhatDockerHasAndWeHaveNotIsSaid) {
  for (const auto& [method, target, names] :
       {std::tuple{"GET", "/v1.41/services/web/logs?stdout=1", "/var/lib/meshd/containers/"},
        std::tuple{"GET", "/tasks/abc/logs", "/var/lib/meshd/containers/"},
        std::tuple{"POST", "/networks/prune", "network rm"},
        std::tuple{"POST", "/networks/back/connect", "--network-add"},
        std::tuple{"POST", "/networks/back/disconnect", "--network-rm"},
        std::tuple{"POST", "/swarm/unlock", "autolock"}}) {
    EXPECT_NE(message(method, target, 501).find(names), std::string::npos) << target;
  }
}

TEST_F(ApiTest, MeshRoutes) {
  make_manager();
  const Json status = json("GET", "/mesh/status", 200);
  EXPECT_EQ(text_of(status, "/Nodes/0/Hostname"), "host1");
  EXPECT_EQ(number_of(json("GET", "/mesh/dataplane/flows", 200), "/Part"), static_cast<int>(DataplanePart::kFlows));
  EXPECT_EQ(ask("GET", "/mesh/dataplane/nothing").status, 404);
  EXPECT_EQ(ask("GET", "/mesh/services/none/ready").status, 404);
  create_service("quiet");
  ASSERT_TRUE(swarm_.real->tick(now_));
  swarm_.held["node1"] = swarm_.real->tables().version;
  manager::NodeJoin absent;
  absent.id = "node2";
  absent.hostname = "host2";
  ASSERT_TRUE(swarm_.real->add_node(absent, now_));
  const Json ready = json("GET", "/mesh/services/quiet/ready", 200);  // it publishes nothing
  EXPECT_EQ(number_of(ready, "/Hosts"), 1);
  EXPECT_EQ(ready.at_pointer("/NoSession"), Json(JsonArray{"host2"}));
  create_service("web", R"(,"EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":8010}]})");
  ASSERT_TRUE(swarm_.real->tick(now_));
  EXPECT_NE(message("GET", "/mesh/services/web/ready?timeout=1ms", 503).find("no task of it is running"),
            std::string::npos);
  EXPECT_EQ(ask("GET", "/mesh/services/web/ready?timeout=soon").status, 400);
}

}  // namespace
}  // namespace mesh::api
