// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The lock of a flow set. Natively there is one thread, and nothing to lock.
#pragma once

#include <linux/bpf.h>

#ifdef __bpf__
#include <bpf/bpf_helpers.h>
#define mesh_lock(lock) bpf_spin_lock(lock)
#define mesh_unlock(lock) bpf_spin_unlock(lock)
#else
#define mesh_lock(lock) ((void)(lock))
#define mesh_unlock(lock) ((void)(lock))
#endif

#define mesh_barrier() __asm__ __volatile__("" ::: "memory")
