// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The kernel's helpers: libbpf's declarations in BPF, the tests' stand-ins (tests/packet/native) otherwise.
#pragma once

#include <linux/bpf.h>

#ifdef __bpf__
#include <bpf/bpf_helpers.h>
#define mesh_lock(lock) bpf_spin_lock(lock)
#define mesh_unlock(lock) bpf_spin_unlock(lock)
#else
#include "tests/packet/native/helpers.h"
#endif

#define mesh_barrier() __asm__ __volatile__("" ::: "memory")
