// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The same programs for a host whose kernel does not show its types (/sys/kernel/btf/vmlinux): libbpf loads nothing
// there that names one, not even what is asked for only where it is.
#define MESH_NO_KERNEL_TYPES
#include "bpf/mesh.bpf.c"
