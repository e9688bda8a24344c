// The API over a real unix socket: keep-alive, streams, limits, and clients that misbehave.
#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>

#include <boost/asio.hpp>

#include "base/fd.h"
#include "control/api/server.h"
#include "tests/unit/api_fixture.h"

namespace mesh::api {
namespace {

class ApiServer : public ApiTest {
 protected:
  ApiServer() {
    path_ = directory_ + "/api.sock";
    const Status listening = server_.listen(path_);
    EXPECT_TRUE(listening);
    thread_ = std::thread([this] {
      const auto work = boost::asio::make_work_guard(loop_);
      loop_.run();
    });
  }
  ~ApiServer() override {
    boost::asio::post(loop_, [this] {
      server_.stop();
      loop_.stop();
    });
    thread_.join();
  }

  [[nodiscard]] Fd open() const {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path_.c_str());
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const timeval limit{20, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
  }
  static void say(const Fd& fd, const std::string& text) {
    std::size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t count = ::send(fd.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return;  // the server has had enough
      sent += static_cast<std::size_t>(count);
    }
  }
  // Until `ending` was read, or the connection is closed.
  static std::string hear(const Fd& fd, const std::string& ending) {
    std::string text;
    char buffer[4096];
    while (ending.empty() || text.find(ending) == std::string::npos) {
      const ssize_t count = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (count <= 0) break;
      text.append(buffer, static_cast<std::size_t>(count));
    }
    return text;
  }

  std::string path_;
  boost::asio::io_context loop_;
  Server server_{loop_, context_};
  std::thread thread_;
};

TEST_F(ApiServer, AnswersHaveDockersHeaders) {
  const Fd fd = open();
  say(fd, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string answer = hear(fd, "OK");
  for (const char* part : {"HTTP/1.1 200 OK\r\n", "Api-Version: 1.50\r\n", "Docker-Experimental: false\r\n",
                           "Ostype: linux\r\n", "Server: meshd/0.1.0 (linux)\r\n", "Content-Length: 2\r\n"}) {
    EXPECT_NE(answer.find(part), std::string::npos) << answer;
  }
}

TEST_F(ApiServer, ConnectionsAreKept) {
  const Fd fd = open();
  for (int i = 0; i < 5; ++i) {
    say(fd, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(hear(fd, "\r\n\r\nOK").ends_with("OK"));
  }
  say(fd, "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(hear(fd, "").ends_with("OK")) << "and closed when asked";
}

TEST_F(ApiServer, RequestsInOnePacketAreAnsweredInOrder) {
  const Fd fd = open();
  say(fd, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string answers = hear(fd, "");
  EXPECT_LT(answers.find("200 OK"), answers.find("404 Not Found"));
}

TEST_F(ApiServer, PullsAreStreamed) {
  node_.pull_lines = {{"", "one", 0, 0}};
  const Fd fd = open();
  say(fd, "POST /images/create?fromImage=nginx HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  const std::string answer = hear(fd, "\r\n0\r\n\r\n");
  EXPECT_NE(answer.find("Transfer-Encoding: chunked"), std::string::npos) << answer;
  EXPECT_NE(answer.find("Digest: sha256:abc"), std::string::npos) << answer;
  say(fd, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(hear(fd, "\r\n\r\nOK").ends_with("OK")) << "the connection goes on";
}

TEST_F(ApiServer, ChunkedBodiesAreRead) {
  const Fd fd = open();
  say(fd, "POST /swarm/init HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
  EXPECT_NE(hear(fd, "\"node1\"").find("200 OK"), std::string::npos);
}

TEST_F(ApiServer, WhatIsNoHttpIsRefused) {
  for (const std::string text :
       {"\x16\x03\x01garbage\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nBad Header\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"}) {
    const Fd fd = open();
    say(fd, text);
    EXPECT_TRUE(hear(fd, "").starts_with("HTTP/1.1 400 ")) << text;
  }
  const Fd fd = open();
  say(fd, "GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(hear(fd, "").starts_with("HTTP/1.1 400 "));
}

TEST_F(ApiServer, LimitsAreNamed) {
  const Fd fd = open();
  say(fd, "POST /services/create HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n");
  EXPECT_TRUE(hear(fd, "}").starts_with("HTTP/1.1 413 "));
  const Fd other = open();
  say(other, "GET / HTTP/1.1\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n");
  EXPECT_TRUE(hear(other, "}").starts_with("HTTP/1.1 431 "));
}

TEST_F(ApiServer, ClientsThatLeaveHarmNobody) {
  for (int i = 0; i < 50; ++i) {
    const Fd fd = open();
    say(fd, i % 2 == 0 ? "GET /_ping HT" : "GET /info HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  const Fd fd = open();
  say(fd, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(hear(fd, "\r\n\r\nOK").ends_with("OK"));
}

TEST_F(ApiServer, TheSocketIsForRootAndItsGroup) {
  struct stat status{};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0660U);
}

TEST_F(ApiServer, ASecondServerIsRefusedAndAStaleSocketReplaced) {
  boost::asio::io_context loop;
  Server second(loop, context_);
  EXPECT_EQ(second.listen(path_).error().kind, ErrorKind::kConflict);

  const std::string stale = directory_ + "/stale.sock";
  {
    const Fd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, stale.c_str());
    ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  Server third(loop, context_);
  EXPECT_TRUE(third.listen(stale));
  third.stop();
  EXPECT_NE(::access(stale.c_str(), F_OK), 0) << "removed at the end";
}

}  // namespace
}  // namespace mesh::api
