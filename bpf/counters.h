// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the programs count: drops, each with its reason, and events. Part of bpf/abi.h.
#pragma once

// mesh_counters: PERCPU_ARRAY of __u64, index MESH_COUNT_*. X(NAME, "name", "what it means").
// Drops first: user space lists [0, MESH_DROPS) as drop reasons.
#define MESH_DROP_REASONS(X)                                                                            \
  X(MALFORMED, "malformed", "a header of ours is cut off or contradicts itself")                        \
  X(FRAGMENT, "fragment", "a fragment of a packet for the mesh; ports are unknown")                     \
  X(TTL, "ttl", "time to live used up")                                                                 \
  X(TOO_BIG, "too_big", "does not fit into the tunnel; the sender is told where that is possible")      \
  X(ECN, "ecn", "congestion marked on a packet whose ends do not know ECN (RFC 6040)")                  \
  X(STRANGER, "stranger", "tunnel packet of ours from an address that is no node of the cluster")       \
  X(TUNNEL_VERSION, "tunnel_version", "tunnel packet of ours with a header this version does not know") \
  X(TUNNEL_FORGED, "tunnel_forged", "an endpoint tried to send a tunnel packet to a node")              \
  X(NO_BACKEND, "no_backend", "published port without a backend")                                       \
  X(NOT_ALLOWED, "not_allowed", "the published port does not let this client in")                       \
  X(NO_NODE, "no_node", "the way to the backend's or endpoint's node is not known (yet)")               \
  X(NO_ROUTE, "no_route", "the host has no route to the client")                                        \
  X(NO_BINDING, "no_binding", "tunnel packet for a backend that is not here")                           \
  X(NO_FAMILY, "no_family", "the backend has no address of the client's family")                        \
  X(NO_RECORD, "no_record", "no host knows this flow")                                                  \
  X(NO_PORT, "no_port", "no free source port towards the backend for a second flow")                    \
  X(NO_ROOM, "no_room", "the flow table could not be written")                                          \
  X(RING_MIXED, "ring_mixed", "hosts were at different ring versions and none knew the flow")           \
  X(HOPS, "hops", "visited too many hosts")                                                             \
  X(NOT_OURS, "not_ours", "reply through the tunnel whose source is no address of this host")           \
  X(NO_ENDPOINT, "no_endpoint", "no endpoint with this address in the network")                         \
  X(SPOOFED, "spoofed", "endpoint used an address or MAC that is not its own")                          \
  X(ISOLATED, "isolated", "destination is in another network")                                          \
  X(INTERNAL, "internal", "endpoint of internal networks tried to leave the cluster")                   \
  X(MULTICAST, "multicast", "multicast and broadcast of endpoints are not carried")                     \
  X(UNSUPPORTED, "unsupported", "protocol that the mesh does not carry here")                           \
  X(EDIT, "edit", "the kernel refused to change the packet")

#define MESH_EVENTS(X)                                                                             \
  X(ENTRY, "entry", "packets that entered the mesh here for a backend on another host")            \
  X(ENTRY_LOCAL, "entry_local", "... and for one on this host")                                    \
  X(FORWARD_IN, "forward_in", "mesh packets received from other hosts")                            \
  X(FORWARD_ON, "forward_on", "mesh packets sent on to another host that may know the flow")       \
  X(REPLY_OUT, "reply_out", "replies of local backends")                                           \
  X(FLOW_REOPENED, "flow_reopened", "flow records that were made again from a packet in mid-flow") \
  X(ERROR_TRANSLATED, "error_translated", "ICMP errors about flows, given to who must know")       \
  X(REPLY_IN, "reply_in", "replies received from backends' hosts and passed on to clients")        \
  X(OVERLAY_OUT, "overlay_out", "packets of networks sent to other hosts")                         \
  X(OVERLAY_IN, "overlay_in", "packets of networks received from other hosts")                     \
  X(OVERLAY_LOCAL, "overlay_local", "packets of networks between endpoints of this host")          \
  X(EXIT, "exit", "packets of endpoints handed to the host's stack")                               \
  X(FLOW_CREATED, "flow_created", "flow records made")                                             \
  X(FLOW_EVICTED, "flow_evicted", "live flow records that had to make room")                       \
  X(FLOW_REWRITTEN, "flow_rewritten", "flows whose client port was changed")                       \
  X(TOO_BIG_ANSWERED, "too_big_answered", "ICMP packet-too-big sent")                              \
  X(NOBODY_ANSWERED, "nobody_answered", "resets and ICMP errors sent for want of an endpoint")     \
  X(NEIGHBOUR_ANSWERED, "neighbour_answered", "ARP and neighbour requests answered")               \
  X(ECHO_ANSWERED, "echo_answered", "ping of a virtual IP answered")                               \
  X(SLOW_PATH, "slow_path", "packets that XDP left to tc")                                         \
  X(VIP_CONNECTED, "vip_connected", "connections and datagrams translated from a virtual IP")      \
  X(DNS_REDIRECTED, "dns_redirected", "sockets led to mesh-dns")                                   \
  X(HOST_CONNECTED, "host_connected", "the host's own connections led into the mesh")              \
  X(DATAGRAM_LED, "datagram_led", "flows of datagrams to a gone endpoint, led to a living one")    \
  X(MSS_CLAMPED, "mss_clamped", "SYNs that were made to ask for segments that fit into the tunnel")

enum mesh_counter {
#define MESH_X(NAME, name, text) MESH_COUNT_##NAME,
  MESH_DROP_REASONS(MESH_X) MESH_DROPS,
#undef MESH_X
  MESH_COUNT_DROPS_END = MESH_DROPS - 1,  // the first event follows the last drop
#define MESH_X(NAME, name, text) MESH_COUNT_##NAME,
  MESH_EVENTS(MESH_X)
#undef MESH_X
      MESH_COUNTERS,
};
