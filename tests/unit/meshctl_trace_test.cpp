#include <gtest/gtest.h>

#include "control/meshctl/trace.h"

namespace mesh::meshctl {
namespace {

TEST(RenderTrace, StepByStep) {
  const auto text = render_trace(*parse_json(R"json({"Steps":[
    {"Node":"node1","Where":"uplink eth0 (tc)","Packet":"tcp a -> b SYN","Lines":["why","=> on"]},
    {"Node":"node2","Where":"answer of task web.1","Packet":"tcp b -> a","Lines":[]}],"End":"answered","Error":""})json"));
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(*text,
            "1. node1, uplink eth0 (tc)\n   tcp a -> b SYN\n     why\n     => on\n"
            "2. node2, answer of task web.1\n   tcp b -> a\n"
            "End: answered\n");
}

}  // namespace
}  // namespace mesh::meshctl
