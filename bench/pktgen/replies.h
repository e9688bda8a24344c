// What a host's kernel says by itself, for an interface that has none on this side. Pure: each writes its reply over
// what was asked and tells whether there is one to send.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bench/pktgen/probe.h"

namespace mesh::pktgen {

// An ARP request (RFC 826) for the source of the probes becomes the answer that they come from here.
[[nodiscard]] bool reply_to_arp(std::uint8_t* frame, std::size_t bytes, const probe_shape& shape);

// A SYN-ACK to a probe, as probe_answer() knows it, becomes the RST that ends its connection (RFC 9293 §3.5.2).
[[nodiscard]] bool reset_opened(std::uint8_t* frame, std::size_t bytes);

}  // namespace mesh::pktgen
