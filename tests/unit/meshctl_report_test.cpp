#include <gtest/gtest.h>

#include "control/meshctl/report.h"

namespace mesh::meshctl {
namespace {

TEST(ColumnTitle, SplitsWords) {
  EXPECT_EQ(column_title("PublishedPort"), "PUBLISHED PORT");
  EXPECT_EQ(column_title("TaskID"), "TASK ID");
  EXPECT_EQ(column_title("VNIOfNetwork"), "VNI OF NETWORK");
  EXPECT_EQ(column_title("port"), "PORT");
}

TEST(Report, ValuesSectionsAndTables) {
  const auto report = *parse_json(R"({"Mode":"xdp","Ready":true,"Uplinks":["eth0","eth1"],"Nothing":null,
    "Kernel":{"Version":7},"Ports":[{"Port":80,"Protocol":"tcp"},{"Port":53,"Note":"a\tb"}],"Empty":[]})");
  EXPECT_EQ(render_report(report),
            "Mode:      xdp\n"
            "Ready:     yes\n"
            "Uplinks:   eth0, eth1\n"
            "Nothing:   -\n"
            "Empty:     -\n"
            "\nKernel:\n  Version:   7\n"
            "\nPorts:\n"
            "  PORT      PROTOCOL   NOTE\n"
            "  80        tcp        -\n"
            "  53        -          a b\n");
}

TEST(Report, OfAList) {
  EXPECT_EQ(render_report(*parse_json(R"([{"A":1}])")), "A\n1\n");
  EXPECT_EQ(render_report(*parse_json("[]")), "-\n");
}

}  // namespace
}  // namespace mesh::meshctl
