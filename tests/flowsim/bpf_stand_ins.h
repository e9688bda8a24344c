// What the kernel is to the programs, in the simulator: tables of one host and virtual time. `programs.c` has the rest.
#pragma once

#include <linux/bpf.h>

#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, value) __typeof__(value)* name

enum { LIBBPF_PIN_NONE, LIBBPF_PIN_BY_NAME };

// libbpf has functions of the same names for user space.
#define bpf_map_lookup_elem flowsim_lookup
#define bpf_map_update_elem flowsim_update
#define bpf_map_delete_elem flowsim_delete
#define bpf_jiffies64 flowsim_jiffies
#define bpf_ktime_get_ns flowsim_jiffies
#define bpf_get_smp_processor_id() 0u
#define bpf_loop flowsim_loop

static inline void* flowsim_lookup(void* map, const void* key);
static inline long flowsim_update(void* map, const void* key, const void* value, __u64 flags);
static inline long flowsim_delete(void* map, const void* key);
static inline __u64 flowsim_jiffies(void);
static inline long flowsim_loop(__u32 count, long (*body)(__u32, void*), void* context, __u64 flags);
