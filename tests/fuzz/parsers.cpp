// What the control plane reads from others: DNS messages, frames of a session, manifests and configs of images. The
// first byte chooses. Whatever comes, the answer is a value or an error; and what was understood, written and read
// again, is the same.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/json.h"
#include "control/agent/image_manifest.h"
#include "control/cluster/messages.h"
#include "dns/answer.h"
#include "dns/message.h"

namespace mesh {
namespace {

void demand(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

void read_dns(std::span<const std::uint8_t> packet) {
  const auto query = dns::parse_query(packet);
  if (!query.has_value()) {
    if (query.error().reply)
      demand(dns::write_error(packet, *query.error().reply).size() >= dns::kHeaderBytes, "an error without header");
    return;
  }
  (void)dns::parse_reverse_name(query->name);
  const std::vector<dns::Record> records(
      40, {.type = dns::Type::kA, .ttl_s = 1, .address = *IpAddress::parse("10.0.0.1"), .name = ""});
  for (const dns::Transport transport : {dns::Transport::kUdp, dns::Transport::kTcp}) {
    const std::size_t most = dns::answer_bytes_max(*query, transport);
    const dns::Packet answer = dns::write_answer(*query, dns::Rcode::kNoError, records, most);
    demand(answer.size() <= most, "an answer longer than the query allows");
    demand(answer.size() >= dns::kHeaderBytes && (answer[2] & 0x80) != 0, "an answer that is none");
  }
}

template <class T>
void read_frame(std::string_view text) {
  const auto message = decode_text<T>(text);
  if (!message.has_value()) {
    demand(!message.error().message.empty(), "an error without a message");
    return;
  }
  const std::string written = to_text(encode(*message));
  const auto again = decode_text<T>(written);
  demand(again.has_value(), "what was written cannot be read");
  demand(to_text(encode(*again)) == written, "what was written reads as something else");
}

void read_image(std::string_view text) {
  const std::size_t middle = text.find('\0');
  const auto manifest = agent::decode_manifest(text.substr(0, middle));
  if (!manifest.has_value() || middle == std::string_view::npos) return;
  (void)agent::decode_image_config(text.substr(middle + 1), *manifest);
}

}  // namespace
}  // namespace mesh

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      mesh::read_dns({data + 1, size - 1});
      break;
    case 1:
      mesh::read_frame<mesh::cluster::AgentMessage>(text);
      break;
    case 2:
      mesh::read_frame<mesh::cluster::ManagerMessage>(text);
      break;
    default:
      mesh::read_image(text);
  }
  return 0;
}
