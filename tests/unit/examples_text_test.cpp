#include <gtest/gtest.h>

#include "examples/gallery_page.h"
#include "examples/http/message.h"
#include "examples/picture.h"

namespace mesh::examples {
namespace {

using State = Parsed::State;

struct RequestCase {
  const char* name;
  std::string bytes;
  State state;
  int status = 0;  // of a bad one
};

const RequestCase kRequests[] = {
    {"empty", "", State::kIncomplete},
    {"half a head", "GET / HTTP/1.1\r\nHo", State::kIncomplete},
    {"no headers", "GET / HTTP/1.1\r\n\r\n", State::kComplete},
    {"half a body", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab", State::kIncomplete},
    {"a body", "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", State::kComplete},
    {"no version", "GET /\r\n\r\n", State::kBad, 400},
    {"future version", "GET / HTTP/2.0\r\n\r\n", State::kBad, 400},
    {"absolute target", "GET http://a/ HTTP/1.1\r\n\r\n", State::kBad, 400},
    {"space before colon", "GET / HTTP/1.1\r\nA : b\r\n\r\n", State::kBad, 400},
    {"header without colon", "GET / HTTP/1.1\r\nabc\r\n\r\n", State::kBad, 400},
    {"negative length", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", State::kBad, 400},
    {"chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", State::kBad, 411},
    {"huge body", "POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", State::kBad, 413},
    {"huge head", "GET / HTTP/1.1\r\nA: " + std::string(kHeadBytesMax, 'x'), State::kBad, 431},
};

TEST(ParseRequest, Table) {
  for (const auto& c : kRequests) {
    const auto parsed = parse_request(c.bytes);
    EXPECT_EQ(parsed.state, c.state) << c.name;
    if (c.state == State::kBad) EXPECT_EQ(parsed.status, c.status) << c.name;
  }
}

TEST(ParseRequest, TakesTheFieldsApart) {
  const std::string first = "POST /a?b=1 HTTP/1.1\r\nHOST:  x \r\nContent-Length: 2\r\n\r\nhi";
  const auto parsed = parse_request(first + "GET /");
  ASSERT_EQ(parsed.state, State::kComplete);
  EXPECT_EQ(parsed.request.method, "POST");
  EXPECT_EQ(parsed.request.path(), "/a");
  EXPECT_EQ(parsed.request.headers.at("host"), "x");
  EXPECT_EQ(parsed.request.body, "hi");
  EXPECT_EQ(parsed.bytes_used, first.size());  // the next request stays in the buffer
}

TEST(KeepAlive, FollowsVersionAndHeader) {
  const auto keeps = [](const char* head) {
    return parse_request(std::string(head) + "\r\n\r\n").request.keep_alive();
  };
  EXPECT_TRUE(keeps("GET / HTTP/1.1"));
  EXPECT_FALSE(keeps("GET / HTTP/1.1\r\nConnection: Close"));
  EXPECT_FALSE(keeps("GET / HTTP/1.0"));
  EXPECT_TRUE(keeps("GET / HTTP/1.0\r\nConnection: keep-alive"));
}

TEST(Response, SurvivesTheWire) {
  const Response sent{.status = 201, .content_type = "a/b", .body = "x\r\n\r\ny", .headers = {{"X-A", "1"}}};
  const auto got = parse_response(format_response(sent, false, false));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->status, 201);
  EXPECT_EQ(got->content_type, "a/b");
  EXPECT_EQ(got->body, sent.body);
  EXPECT_EQ(got->headers.at("connection"), "close");
}

TEST(Response, CutShortIsNone) {
  const auto whole = format_response({.body = "hello", .headers = {}}, false, false);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(parse_response(whole.substr(0, length))) << length;
  }
  EXPECT_TRUE(parse_response(whole));
}

TEST(Response, ToHeadTellsTheLengthOnly) {
  const auto bytes = format_response({.body = "hello", .headers = {}}, true, true);
  EXPECT_NE(bytes.find("Content-Length: 5\r\n"), std::string::npos);
  EXPECT_TRUE(bytes.ends_with("\r\n\r\n"));
}

TEST(Url, IsTakenApart) {
  struct Case {
    const char *text, *host, *port, *path;
  };
  for (const auto& c : {Case{"http://iotd/image", "iotd", "80", "/image"}, Case{"http://iotd", "iotd", "80", "/"},
                        Case{"http://a:8080/x?y", "a", "8080", "/x?y"}, Case{"http://[fd::1]:81/", "fd::1", "81", "/"},
                        Case{"http://[fd::1]/", "fd::1", "80", "/"}}) {
    const auto url = parse_url(c.text);
    ASSERT_TRUE(url) << c.text;
    EXPECT_EQ(url->host, c.host);
    EXPECT_EQ(url->port, c.port);
    EXPECT_EQ(url->path, c.path);
  }
  for (const char* wrong :
       {"", "iotd", "https://a/", "http://", "http:///x", "http://a:0/", "http://a:x/", "http://[a/"}) {
    EXPECT_FALSE(parse_url(wrong)) << wrong;
  }
}

TEST(Base64, MatchesRfc4648) {
  const std::pair<const char*, const char*> table[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : table) EXPECT_EQ(encode_base64(plain), encoded);
  EXPECT_EQ(encode_base64("\xff\xfe"), "//4=");
}

TEST(Json, MemberComesBackAsItWent) {
  const std::string awkward = "a \"quoted\" \\ line\nand \x01 control";
  const auto json = "{\"x\":1, \"name\" : \"" + escape_json(awkward) + "\"}";
  EXPECT_EQ(json_string_member(json, "name"), awkward);
  EXPECT_FALSE(json_string_member(json, "x"));
  EXPECT_FALSE(json_string_member(json, "absent"));
  for (const char* broken :
       {"{\"name\":\"abc", "{\"name\":", "{\"name\"", "{\"name\":\"\\", "{\"name\":\"\\u00zz\"}"}) {
    EXPECT_FALSE(json_string_member(broken, "name")) << broken;
  }
}

TEST(Picture, IsTheSameEverywhereAndAnotherEachDay) {
  EXPECT_EQ(draw_picture(20000).svg, draw_picture(20000).svg);
  EXPECT_NE(draw_picture(20000).svg, draw_picture(20001).svg);
  const auto svg = draw_picture(20000).svg;
  EXPECT_TRUE(svg.starts_with("<svg "));
  EXPECT_TRUE(svg.ends_with("</svg>"));
}

class Page : public testing::Test {
 protected:
  Exchange exchange_{.request = {}, .client = {"192.0.2.7", 4321}, .server = {"10.0.0.5", 80}};
  Place place_{"task<1>", "node2"};
  Fetched away_{.ok = false, .response = {}, .error = "http://iotd/image: cannot connect"};
};

TEST_F(Page, ShowsWhoAnsweredAndWhom) {
  Fetched image{.ok = true, .response = {}, .error = ""};
  image.response.body = R"({"caption":"Dusk & dawn","content_type":"image/svg+xml","data":"QUJD","task":"t9"})";
  const auto page = gallery_page(exchange_, place_, image, {.ok = true, .response = {}, .error = ""});
  EXPECT_NE(page.find("src=\"data:image/svg+xml;base64,QUJD\""), std::string::npos);
  EXPECT_NE(page.find("Dusk &amp; dawn"), std::string::npos);
  EXPECT_NE(page.find("task&lt;1&gt;"), std::string::npos);
  EXPECT_NE(page.find("node2"), std::string::npos);
  EXPECT_NE(page.find("192.0.2.7:4321"), std::string::npos);
  EXPECT_EQ(page.find("class=\"away\""), std::string::npos);
  EXPECT_NE(page.find("id=\"log\">reported<"), std::string::npos);
}

TEST_F(Page, SaysWhatIsAway) {
  const auto page = gallery_page(exchange_, place_, away_, away_);
  EXPECT_NE(page.find("The picture of the day is away. http://iotd/image: cannot connect"), std::string::npos);
  EXPECT_NE(page.find("id=\"log\">away."), std::string::npos);
  EXPECT_NE(page.find("192.0.2.7"), std::string::npos);
}

TEST_F(Page, SurvivesANonsensicalPictureService) {
  Fetched image{.ok = true, .response = {}, .error = ""};
  image.response.body = "<html>";
  EXPECT_NE(gallery_page(exchange_, place_, image, away_).find("not as expected"), std::string::npos);
}

TEST_F(Page, BracketsIpv6) {
  exchange_.client = {"2001:db8::7", 4321};
  EXPECT_NE(gallery_page(exchange_, place_, away_, away_).find("[2001:db8::7]:4321"), std::string::npos);
  EXPECT_NE(whoami_json(exchange_, place_).find("\"client\":\"2001:db8::7\",\"client_port\":4321"), std::string::npos);
}

}  // namespace
}  // namespace mesh::examples
