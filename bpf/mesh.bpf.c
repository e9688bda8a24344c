// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// All programs in one object: they share their maps, and one skeleton loads them. One entry file per attach point.
#include "bpf/carry.bpf.c"
#include "bpf/endpoint.bpf.c"
#include "bpf/sockets.bpf.c"
#include "bpf/sweep.bpf.c"
#include "bpf/uplink.bpf.c"

char mesh_license[] SEC("license") = "Dual BSD/GPL";
