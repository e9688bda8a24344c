#include "tests/packet/bpf/frame.h"

#include <cstring>

#include "bpf/lib/tunnel.h"

namespace mesh::packet {
namespace {

void put8(Bytes& to, unsigned value) { to.push_back(static_cast<std::uint8_t>(value)); }
void put16(Bytes& to, unsigned value) {
  put8(to, value >> 8);
  put8(to, value & 0xff);
}
void put(Bytes& to, const Bytes& bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }
void put(Bytes& to, const Mac& mac) { to.insert(to.end(), mac.begin(), mac.end()); }
void set16(Bytes& in, std::size_t at, unsigned value) {
  in[at] = static_cast<std::uint8_t>(value >> 8);
  in[at + 1] = static_cast<std::uint8_t>(value);
}

bool is_v6(const std::string& text) { return text.find(':') != std::string::npos; }

Bytes address_bytes(const std::string& text) {
  const mesh_address value = address(text);
  Bytes bytes(16);
  std::memcpy(bytes.data(), &value, 16);
  return is_v6(text) ? bytes : Bytes(bytes.begin() + 12, bytes.end());
}

Bytes ipv4(const std::string& from, const std::string& to, unsigned protocol, unsigned ttl, unsigned tos,
           unsigned fragment, const Bytes& content) {
  Bytes header = {0x45};
  put8(header, tos);
  put16(header, static_cast<unsigned>(20 + content.size()));
  put16(header, 0);
  put16(header, fragment);
  put8(header, ttl);
  put8(header, protocol);
  put16(header, 0);
  put(header, address_bytes(from));
  put(header, address_bytes(to));
  set16(header, 10, slow_checksum(header));
  put(header, content);
  return header;
}

Bytes ipv6(const std::string& from, const std::string& to, unsigned next, unsigned hops, unsigned tos,
           const Bytes& content) {
  Bytes header;
  put8(header, 0x60 | tos >> 4);
  put8(header, (tos & 15) << 4);
  put16(header, 0);
  put16(header, static_cast<unsigned>(content.size()));
  put8(header, next);
  put8(header, hops);
  put(header, address_bytes(from));
  put(header, address_bytes(to));
  put(header, content);
  return header;
}

// CRC-32C, bit by bit.
std::uint32_t slow_crc32c(const Bytes& bytes) {
  std::uint32_t crc = ~0U;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82f63b78U : crc >> 1;
  }
  return ~crc;
}

Bytes sctp(const Frame& frame) {
  Bytes packet;
  put16(packet, frame.source_port);
  put16(packet, frame.destination_port);
  put16(packet, frame.tag >> 16);
  put16(packet, frame.tag & 0xffff);
  put(packet, Bytes{0, 0, 0, 0, frame.chunk, frame.chunk_flags});
  put16(packet, static_cast<unsigned>(4 + frame.payload.size()));
  packet.insert(packet.end(), frame.payload.begin(), frame.payload.end());
  const std::uint32_t crc = slow_crc32c(packet);  // its lowest byte comes first
  for (unsigned i = 0; i < 4; ++i) packet[8 + i] = static_cast<std::uint8_t>(crc >> (8 * i));
  return packet;
}

}  // namespace

std::uint16_t slow_checksum(const Bytes& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<std::uint32_t>(bytes[i] << 8) + (i + 1 < bytes.size() ? bytes[i + 1] : 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return static_cast<std::uint16_t>(~sum);
}

Bytes Frame::packet() const {
  const bool tcp = protocol == 6;
  Bytes segment;
  if (protocol == 132) {
    segment = sctp(*this);
    return is_v6(from) ? ipv6(from, to, protocol, ttl, tos, segment)
                       : ipv4(from, to, protocol, ttl, tos, fragment, segment);
  }
  if (tcp || protocol == 17) {
    put16(segment, source_port);
    put16(segment, destination_port);
  }
  if (tcp) {
    put(segment, Bytes{0, 0, 0, 1, 0, 0, 0, 2});
    put8(segment, static_cast<unsigned>((20 + tcp_options.size()) / 4 << 4));
    put8(segment, tcp_flags);
    put(segment, Bytes{0x10, 0, 0, 0, 0, 0});
    put(segment, Bytes(tcp_options.begin(), tcp_options.end()));
  } else if (protocol == 17) {
    put16(segment, static_cast<unsigned>(8 + payload.size()));
    put16(segment, 0);
  }
  segment.insert(segment.end(), payload.begin(), payload.end());
  if (tcp || protocol == 17) {
    Bytes covered;
    put(covered, address_bytes(from));
    put(covered, address_bytes(to));
    put16(covered, 0);
    put16(covered, static_cast<unsigned>(segment.size()));
    put16(covered, protocol);
    put(covered, segment);
    unsigned checksum = slow_checksum(covered);
    if (!tcp && checksum == 0) checksum = 0xffff;
    if (!without_checksum) set16(segment, tcp ? 16 : 6, checksum);
  }
  return is_v6(from) ? ipv6(from, to, protocol, ttl, tos, segment)
                     : ipv4(from, to, protocol, ttl, tos, fragment, segment);
}

Bytes Frame::bytes() const {
  const Bytes inner = packet();
  const unsigned type = is_v6(from) ? 0x86dd : 0x0800;
  Bytes frame;
  if (!tunnel.has_value()) {
    put(frame, destination);
    put(frame, source);
    put16(frame, type);
    put(frame, inner);
    return frame;
  }
  const mesh_address client = address(from);
  const mesh_address original = address(to);
  const std::uint64_t hash =
      mesh_ring_hash(&client, &original, mesh_be16(source_port), mesh_be16(destination_port), protocol);
  Bytes content;
  put16(content, tunnel->source_port != 0 ? tunnel->source_port : 0x8000 | (hash & 0x7fff));
  put16(content, MESH_VXLAN_PORT);
  put16(content, static_cast<unsigned>(inner.size() + 30));
  put16(content, 0);
  put8(content, MESH_VXLAN_FLAGS);
  const unsigned stop_prev = static_cast<unsigned>(tunnel->stop) << 12 | tunnel->prev;
  put8(content, stop_prev >> 16);
  put16(content, stop_prev & 0xffff);
  put8(content, tunnel->vni >> 16);
  put16(content, tunnel->vni & 0xffff);
  put8(content, tunnel->header_version);
  put8(content, static_cast<unsigned>(tunnel->kind << 2 | 2));
  put8(content, tunnel->flags);
  put16(content, tunnel->binding);
  put16(content, tunnel->entry);
  put8(content, static_cast<unsigned>(tunnel->hops << 2 | 2));
  put8(content, tunnel->backend);
  put16(content, tunnel->version >> 16);
  put16(content, tunnel->version & 0xffff);
  put16(content, type);
  put(content, inner);
  put(frame, tunnel->destination);
  put(frame, tunnel->source);
  put16(frame, 0x0800);
  put(frame, ipv4(tunnel->from, tunnel->to, 17, 64, tunnel->tos, 0x4000, content));
  return frame;
}

}  // namespace mesh::packet
