// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Attached to the cgroup root: addresses that sockets ask for. Virtual IPs become a backend: once, at connect; for each
// datagram of a socket that is not connected the same one, as long as the backends stay; 127.0.0.11 port 53 becomes
// mesh-dns; the host's own localhost:PORT of a published port becomes the mesh address. Only sockets of network
// namespaces that are ours are touched.
#include "bpf/lib/hash.h"
#include "bpf/tables.h"

#define MESH_DNS_ADDRESS mesh_be32(0x7f00000bu)  // 127.0.0.11, where Docker's containers expect their resolver
#define MESH_DNS_PORT mesh_be16(53)
#define MESH_SOCK_ALLOW 1
#define MESH_SOCK_REFUSE 0
#define MESH_EHOSTUNREACH 113

struct mesh_request {
  struct mesh_address address;
  __be16 port;
};

MESH_INLINE struct mesh_request mesh_request_v4(const struct bpf_sock_addr* context) {
  struct mesh_request request = {mesh_address_v4(context->user_ip4), (__be16)context->user_port};
  return request;
}

MESH_INLINE struct mesh_request mesh_request_v6(const struct bpf_sock_addr* context) {
  struct mesh_request request = {
      {{context->user_ip6[0], context->user_ip6[1], context->user_ip6[2], context->user_ip6[3]}},
      (__be16)context->user_port};
  return request;
}

MESH_INLINE void mesh_grant_v4(struct bpf_sock_addr* context, const struct mesh_request* request) {
  context->user_ip4 = request->address.word[3];
  context->user_port = request->port;
}

MESH_INLINE void mesh_grant_v6(struct bpf_sock_addr* context, const struct mesh_request* request) {
  context->user_ip6[0] = request->address.word[0];
  context->user_ip6[1] = request->address.word[1];
  context->user_ip6[2] = request->address.word[2];
  context->user_ip6[3] = request->address.word[3];
  context->user_port = request->port;
}

// Remembers what the socket asked for, for recvmsg and getpeername.
MESH_INLINE void mesh_remember(struct bpf_sock_addr* context, const struct mesh_request* asked,
                               const struct mesh_request* granted) {
  struct mesh_origin_key key = {.socket = bpf_get_socket_cookie(context)};
  struct mesh_origin origin = {};
  key.address = granted->address;
  key.port = granted->port;
  origin.address = asked->address;
  origin.port = asked->port;
  const struct mesh_origin* known = bpf_map_lookup_elem(&mesh_origins, &key);
  if (known && known->port == origin.port && mesh_address_equal(&known->address, &origin.address)) return;
  bpf_map_update_elem(&mesh_origins, &key, &origin, BPF_ANY);
}

enum mesh_translation { MESH_UNCHANGED = 0, MESH_CHANGED = 1, MESH_UNREACHABLE = 2 };

// The host's own sockets: localhost and own addresses, if the port is published and has a backend.
MESH_INLINE int mesh_translate_host(const struct mesh_config* config, __u8 protocol, struct mesh_request* request) {
  const struct mesh_service* service = mesh_service_of(protocol, request->port);
  if (!service) return MESH_UNCHANGED;
  if (!mesh_address_is_loopback(&request->address) && !(mesh_role_of(&request->address) & MESH_ROLE_SELF)) {
    return MESH_UNCHANGED;
  }
  __u32 index = MESH_SERVICE_INDEX(protocol, mesh_swap16(request->port));
  if ((service->options & MESH_SERVICE_NO_ENTRY) || !mesh_is_bound(service, index, &request->address)) {
    return MESH_UNCHANGED;
  }
  // Without backends every slot is empty, and the host's own stack refuses.
  if ((mesh_slot_of(service->ring, 0) & MESH_SLOT_OWNER) == MESH_SLOT_NONE) return MESH_UNCHANGED;
  request->address = mesh_address_is_v4(&request->address) ? config->mesh_v4 : config->mesh_v6;
  mesh_count(MESH_COUNT_HOST_CONNECTED);
  return MESH_CHANGED;
}

// `draw` chooses the backend.
MESH_INLINE int mesh_translate_endpoint(const struct mesh_config* config, __u64 cookie, __u32 draw,
                                        struct mesh_request* request) {
  const struct mesh_address* asked = &request->address;
  if (mesh_address_is_v4(asked) && asked->word[3] == MESH_DNS_ADDRESS && request->port == MESH_DNS_PORT) {
    request->address = config->gateway_v4;
    request->port = config->dns_port;
    mesh_count(MESH_COUNT_DNS_REDIRECTED);
    return MESH_CHANGED;
  }
  const struct mesh_vip* vip = bpf_map_lookup_elem(&mesh_vips, asked);
  if (!vip) return MESH_UNCHANGED;
  struct mesh_member member = {.cookie = cookie, .vni = vip->vni};
  if (!bpf_map_lookup_elem(&mesh_members, &member)) return MESH_UNCHANGED;  // another network's: the packet is dropped
  __u32 count = vip->count;
  if (!count) return MESH_UNREACHABLE;
  __u32 index = vip->first + (__u32)(((__u64)draw * count) >> 32);
  const struct mesh_address* backend = bpf_map_lookup_elem(&mesh_vip_backends, &index);
  if (!backend) return MESH_UNREACHABLE;
  request->address = *backend;
  mesh_count(MESH_COUNT_VIP_CONNECTED);
  return MESH_CHANGED;
}

// Of a socket's datagrams to one address: those of one exchange must not go to different backends.
MESH_INLINE __u32 mesh_datagram_draw(struct bpf_sock_addr* context, const struct mesh_request* asked) {
  __u64 asked_hash = mesh_affinity_hash(&asked->address, asked->port, (__u8)context->protocol);
  return (__u32)(mesh_mix(asked_hash ^ bpf_get_socket_cookie(context)) >> 32);
}

MESH_INLINE int mesh_translate(struct bpf_sock_addr* context, int connects, struct mesh_request* request) {
  const struct mesh_config* config = mesh_settings();
  if (!config) return MESH_UNCHANGED;
  __u64 cookie = bpf_get_netns_cookie(context);
  struct mesh_request asked = *request;
  int outcome = MESH_UNCHANGED;
  if (cookie == config->host_cookie) {
    outcome = mesh_translate_host(config, (__u8)context->protocol, request);
  } else if (bpf_map_lookup_elem(&mesh_namespaces, &cookie)) {
    __u32 draw = connects ? bpf_get_prandom_u32() : mesh_datagram_draw(context, request);
    outcome = mesh_translate_endpoint(config, cookie, draw, request);
  }
  if (outcome == MESH_CHANGED) mesh_remember(context, &asked, request);
  return outcome;
}

MESH_INLINE int mesh_request_forward(struct bpf_sock_addr* context, int connects, int v6) {
  struct mesh_request request = v6 ? mesh_request_v6(context) : mesh_request_v4(context);
  int outcome = mesh_translate(context, connects, &request);
  if (outcome == MESH_UNREACHABLE) {
    bpf_set_retval(-MESH_EHOSTUNREACH);
    return MESH_SOCK_REFUSE;
  }
  if (outcome == MESH_CHANGED) {
    if (v6) {
      mesh_grant_v6(context, &request);
    } else {
      mesh_grant_v4(context, &request);
    }
  }
  return MESH_SOCK_ALLOW;
}

MESH_INLINE int mesh_request_back(struct bpf_sock_addr* context, int v6) {
  struct mesh_request request = v6 ? mesh_request_v6(context) : mesh_request_v4(context);
  struct mesh_origin_key key = {.socket = bpf_get_socket_cookie(context)};
  key.address = request.address;
  key.port = request.port;
  const struct mesh_origin* origin = bpf_map_lookup_elem(&mesh_origins, &key);
  if (!origin) return MESH_SOCK_ALLOW;
  request.address = origin->address;
  request.port = origin->port;
  if (v6) {
    mesh_grant_v6(context, &request);
  } else {
    mesh_grant_v4(context, &request);
  }
  return MESH_SOCK_ALLOW;
}

SEC("cgroup/connect4")
int mesh_connect4(struct bpf_sock_addr* context) { return mesh_request_forward(context, 1, 0); }

SEC("cgroup/connect6")
int mesh_connect6(struct bpf_sock_addr* context) { return mesh_request_forward(context, 1, 1); }

SEC("cgroup/sendmsg4")
int mesh_sendmsg4(struct bpf_sock_addr* context) { return mesh_request_forward(context, 0, 0); }

SEC("cgroup/sendmsg6")
int mesh_sendmsg6(struct bpf_sock_addr* context) { return mesh_request_forward(context, 0, 1); }

SEC("cgroup/recvmsg4")
int mesh_recvmsg4(struct bpf_sock_addr* context) { return mesh_request_back(context, 0); }

SEC("cgroup/recvmsg6")
int mesh_recvmsg6(struct bpf_sock_addr* context) { return mesh_request_back(context, 1); }

SEC("cgroup/getpeername4")
int mesh_peername4(struct bpf_sock_addr* context) { return mesh_request_back(context, 0); }

SEC("cgroup/getpeername6")
int mesh_peername6(struct bpf_sock_addr* context) { return mesh_request_back(context, 1); }
